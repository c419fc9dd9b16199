//! Links every image again when the linker script has changed; cargo does not know that the script is an input.

fn main() {
    println!("cargo::rerun-if-changed=image.ld");
}
