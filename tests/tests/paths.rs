//! The library's hot paths take no more instructions than they did: `cargo xtask bench paths` prints the numbers.

use xtask::guest;
use xtask::paths;

#[test]
fn hot_paths_take_no_more_instructions_than_recorded() {
    let counts = paths::count(&guest::image("paths").unwrap()).unwrap();
    assert_eq!(counts.excesses(), [""; 0], "\n{counts}");
    // The counter counts instructions, so it counts the same again.
    assert_eq!(paths::count(&guest::image("paths").unwrap()).unwrap(), counts);
}
