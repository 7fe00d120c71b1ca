//! Lets the binary find the prebuilt libduckdb beside itself, where the warehouse's build script puts it.
//!
//! Knows nothing of DuckDB but the folder; without the library the linker's search path is simply unused.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let origin =
        if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("macos") { "@loader_path" } else { "$ORIGIN" };
    for folder in [origin.to_owned(), format!("{origin}/deps")] {
        println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{folder}");
    }
}
