//! Threads, channels and time.

#[cfg(target_os = "hermit")]
use libos as _;
fn main() {
    println!("hello {:?}", std::env::args().collect::<Vec<_>>());
    let t0 = std::time::Instant::now();
    let (tx, rx) = std::sync::mpsc::channel();
    let hs: Vec<_> = (0..4).map(|i| { let tx = tx.clone(); std::thread::spawn(move || { std::thread::sleep(std::time::Duration::from_millis(20)); tx.send(i).unwrap(); i * 2 }) }).collect();
    drop(tx);
    let got: Vec<i32> = rx.iter().collect();
    println!("{got:?} {:?}", hs.into_iter().map(|h| h.join().unwrap()).sum::<i32>());
    println!("{:?} {:?}", t0.elapsed(), std::time::SystemTime::now());
}
