//! What faults ask of a process: [`Debugger`] by ptrace(2), and system calls that the process makes for others.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use libc::user_regs_struct;

use super::process::{Process, State};
use super::ptrace;
use crate::faults::debugger::{Debugger, Result, Unfollowed};
use crate::gdb::{Register, Registers, Stop};

/// How long a step may take.
const STEP: Duration = Duration::from_secs(2);
/// INT3, and SYSCALL.
const TRAP: u8 = 0xcc;
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// `orig_rax` of a thread that is not in a system call, so that the kernel begins none anew.
const IN_NO_CALL: u64 = u64::MAX;

impl Debugger for Process {
    fn cpus(&mut self) -> Result<Vec<u32>> {
        Ok(self.living().collect())
    }

    /// It waits in a system call.
    fn is_idle(&mut self, cpu: u32) -> Result<bool> {
        let registers = ptrace::general(self.threads[cpu as usize - 1].id)?;
        Ok(registers.orig_rax as i64 >= 0)
    }

    fn select(&mut self, cpu: u32) -> Result<()> {
        self.selected = cpu as usize - 1;
        Ok(())
    }

    fn registers(&mut self) -> Result<Registers> {
        let (mut general, vectors) = (ptrace::general(self.selected())?, ptrace::vectors(self.selected())?);
        let vector = |number: usize| {
            (0..4).fold(0, |value, part| value | u128::from(vectors.xmm_space[number * 4 + part]) << (32 * part))
        };
        let vectors: Vec<Register> = Register::vector().collect();
        Ok(Registers::of(|register| match vectors.iter().position(|&vector| vector == register) {
            Some(number) => vector(number),
            None => place(&mut general, register).map_or(0, |place| u128::from(*place)),
        }))
    }

    fn register(&mut self, register: Register) -> Result<u64> {
        let mut registers = ptrace::general(self.selected())?;
        place(&mut registers, register).map(|place| *place).ok_or_else(|| unknown(register))
    }

    fn set_register(&mut self, register: Register, value: u128) -> Result<()> {
        let thread = self.selected();
        if let Some(number) = Register::vector().position(|vector| vector == register) {
            let mut registers = ptrace::vectors(thread)?;
            for part in 0..4 {
                registers.xmm_space[number * 4 + part] = (value >> (32 * part)) as u32;
            }
            return Ok(ptrace::set_vectors(thread, registers)?);
        }
        let mut registers = ptrace::general(thread)?;
        *place(&mut registers, register).ok_or_else(|| unknown(register))? = value as u64;
        if register == Register::RIP {
            registers.orig_rax = IN_NO_CALL;
        }
        match ptrace::set_general(thread, registers) {
            // The kernel takes no address for RIP or a base that no process can have. It is as good as any wrong one.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(()),
            result => Ok(result?),
        }
    }

    fn read(&mut self, address: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.memory.read_exact_at(&mut bytes, address)?;
        Ok(bytes)
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        match self.memory.write_all_at(bytes, address) {
            // Nothing is mapped there, which ends no campaign.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(()),
            result => Ok(result?),
        }
    }

    fn insert(&mut self, address: u64) -> Result<()> {
        let code = self.read(address, 1)?[0];
        self.points.entry(address).or_insert(code);
        self.write(address, &[TRAP])
    }

    fn remove(&mut self, address: u64) -> Result<()> {
        match self.points.remove(&address) {
            Some(code) => self.write(address, &[code]),
            None => Ok(()),
        }
    }

    fn step(&mut self, cpu: u32) -> Result<Stop> {
        self.try_step(cpu, STEP)?.ok_or_else(|| Unfollowed("a step does not end".into()))
    }

    fn try_step(&mut self, cpu: u32, timeout: Duration) -> Result<Option<Stop>> {
        self.step_one(cpu as usize - 1, timeout)
    }

    fn resume(&mut self) -> Result<()> {
        self.continue_all()
    }

    fn wait(&mut self, timeout: Duration) -> Result<Option<Stop>> {
        self.wait_for_stop(timeout)
    }

    fn halt(&mut self) -> Result<Stop> {
        self.stop_all()
    }
}

impl Process {
    /// Has the first thread make a system call, and leaves it as it was. Everything has to stand still.
    ///
    /// # Errors
    /// When the process cannot be followed, or the call fails.
    pub fn call(&mut self, number: i64, arguments: [u64; 6]) -> Result<u64> {
        let thread = self.threads[0].id;
        let (before, waiting) = (ptrace::general(thread)?, self.threads[0].state);
        let code = self.read(before.rip, SYSCALL.len())?;
        self.write(before.rip, &SYSCALL)?;
        let [rdi, rsi, rdx, r10, r8, r9] = arguments;
        let rax = number as u64;
        let registers = user_regs_struct { rax, orig_rax: IN_NO_CALL, rdi, rsi, rdx, r10, r8, r9, ..before };
        ptrace::set_general(thread, registers)?;
        self.threads[0].state = State::Stopped(0);
        let stepped = self.step(1);
        let result = ptrace::general(thread)?.rax as i64;
        self.write(before.rip, &code)?;
        ptrace::set_general(thread, before)?;
        self.threads[0].state = waiting;
        stepped?;
        u64::try_from(result).map_err(|_| {
            Unfollowed(format!("system call {number}: {}", std::io::Error::from_raw_os_error(-result as i32)))
        })
    }

    /// Changes several registers of the selected thread at once; it is in no system call any more.
    ///
    /// # Errors
    /// When it is gone.
    pub fn arrange(&mut self, values: &[(Register, u64)]) -> Result<()> {
        let mut registers = ptrace::general(self.selected())?;
        for &(register, value) in values {
            *place(&mut registers, register).ok_or_else(|| unknown(register))? = value;
        }
        registers.orig_rax = IN_NO_CALL;
        Ok(ptrace::set_general(self.selected(), registers)?)
    }
}

fn unknown(register: Register) -> Unfollowed {
    Unfollowed(format!("a process shows no {register}"))
}

/// Where the kernel has a register.
fn place(registers: &mut user_regs_struct, register: Register) -> Option<&mut u64> {
    let r = registers;
    let general = [
        &mut r.rax, &mut r.rbx, &mut r.rcx, &mut r.rdx, &mut r.rsi, &mut r.rdi, &mut r.rbp, &mut r.rsp, &mut r.r8,
        &mut r.r9, &mut r.r10, &mut r.r11, &mut r.r12, &mut r.r13, &mut r.r14, &mut r.r15,
    ];
    match register {
        Register::RIP => Some(&mut r.rip),
        Register::RFLAGS => Some(&mut r.eflags),
        _ => general.into_iter().nth(Register::general().position(|general| general == register)?),
    }
}
