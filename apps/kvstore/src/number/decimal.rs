//! Whole numbers of any length: what lies between a decimal text and a binary mantissa.

/// A whole number, least significant limb first, without leading zero limbs.
pub struct Natural {
    limbs: Vec<u32>,
}

impl Natural {
    /// The number `value`.
    pub fn new(value: u64) -> Self {
        let mut natural = Self { limbs: vec![value as u32, (value >> 32) as u32] };
        natural.trim();
        natural
    }

    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    /// Number of significant bits.
    pub fn bits(&self) -> u32 {
        self.limbs.last().map_or(0, |last| self.limbs.len() as u32 * 32 - last.leading_zeros())
    }

    /// Multiplies by `factor` and adds `summand`.
    pub fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for limb in &mut self.limbs {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.limbs.push(carry as u32);
        }
        self.trim();
    }

    /// Divides by `divisor`, rounding down; returns the remainder.
    pub fn divide(&mut self, divisor: u32) -> u32 {
        let mut remainder = 0u64;
        for limb in self.limbs.iter_mut().rev() {
            let dividend = remainder << 32 | u64::from(*limb);
            *limb = (dividend / u64::from(divisor)) as u32;
            remainder = dividend % u64::from(divisor);
        }
        self.trim();
        remainder as u32
    }

    /// Multiplies by two to the power of `bits`.
    pub fn shift_left(&mut self, bits: u32) {
        if self.is_zero() {
            return;
        }
        self.multiply_add(1 << (bits % 32), 0);
        self.limbs.splice(0..0, std::iter::repeat_n(0, bits as usize / 32));
    }

    /// The 64 most significant bits, how many bits lie below them (negative if there are fewer than 64 in all), and
    /// whether the first of those below is set, and whether any after it is.
    pub fn top(&self) -> (u64, i32, bool, bool) {
        let below = self.bits() as i32 - 64;
        let bit = |at: i32| at >= 0 && self.limbs.get(at as usize / 32).is_some_and(|limb| limb >> (at % 32) & 1 == 1);
        let mut top = 0u64;
        for at in (below..below + 64).rev() {
            top = top << 1 | u64::from(bit(at));
        }
        (top, below, bit(below - 1), (0..(below - 1).max(0)).any(bit))
    }

    /// Its decimal digits, appended to `out`; nothing for 0.
    pub fn decimal(mut self, out: &mut Vec<u8>) {
        let start = out.len();
        while !self.is_zero() {
            let mut group = self.divide(1_000_000_000);
            for _ in 0..9 {
                out.push(b'0' + (group % 10) as u8);
                group /= 10;
            }
        }
        while out.len() > start && out.last() == Some(&b'0') {
            out.pop();
        }
        out[start..].reverse();
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_agrees_with_u128() {
        let mut natural = Natural::new(u64::MAX);
        let mut model = u128::from(u64::MAX);
        natural.multiply_add(1_000_000_007, 12_345);
        model = model * 1_000_000_007 + 12_345;
        natural.shift_left(33);
        model <<= 33;
        assert_eq!(natural.divide(97), (model % 97) as u32);
        model /= 97;
        assert_eq!(natural.bits(), 128 - model.leading_zeros());
        let (top, below, half, rest) = natural.top();
        assert_eq!(top, (model >> below) as u64);
        assert_eq!(half, model >> (below - 1) & 1 == 1);
        assert_eq!(rest, model & ((1 << (below - 1)) - 1) != 0);
        let mut digits = Vec::new();
        natural.decimal(&mut digits);
        assert_eq!(String::from_utf8(digits).unwrap(), model.to_string());
    }
}
