//! Has the migrations embedded again when one is added: Cargo does not see what a macro reads.

fn main() {
    println!("cargo::rerun-if-changed=../../schema/sqlite");
}
