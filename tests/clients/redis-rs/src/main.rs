//! redis-rs: `redis-rs-client PORT`. tests/tests/clients.rs says what the lines mean.

use redis::{RedisError, RedisResult, TypedCommands};

fn report(outcome: Result<(i64, i64), RedisError>) {
    match outcome {
        Ok(_) => println!("done"),
        Err(error) => println!("refused {error}"),
    }
}

fn main() -> RedisResult<()> {
    let port = std::env::args().nth(1).unwrap_or_default();
    let mut client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?.get_connection()?;
    let transaction = |client: &mut redis::Connection| {
        redis::pipe().atomic().incr("counter", 1).incr("counter", 1).query::<(i64, i64)>(client)
    };
    report(transaction(&mut client));
    report(transaction(&mut client));
    report(redis::transaction(&mut client, &["counter"], |client, pipe| {
        pipe.incr("counter", 1).incr("counter", 1).query(client)
    }));
    report(transaction(&mut client));
    let (first, second) = redis::pipe().incr("plain", 1).incr("plain", 1).query::<(i64, i64)>(&mut client)?;
    println!("plain {first} {second}");
    client.set("greeting", "hello")?;
    println!("usable {}", client.get("greeting")?.unwrap_or_default());
    Ok(())
}
