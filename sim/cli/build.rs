//! Lets the binary find the prebuilt libduckdb beside itself, where the warehouse's build script puts it, and know how it was
//! compiled, which every benchmark record says.
//!
//! Knows nothing of DuckDB but the folder; without the library the linker's search path is simply unused.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let origin =
        if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("macos") { "@loader_path" } else { "$ORIGIN" };
    for folder in [origin.to_owned(), format!("{origin}/deps")] {
        println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{folder}");
    }
    let said = |name: &str| std::env::var(name).unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo:rustc-env=LAKEBED_OPT_LEVEL={}", said("OPT_LEVEL"));
    let rustc = std::process::Command::new(said("RUSTC")).arg("--version").output();
    let rustc =
        rustc.map_or_else(|_| "unknown".to_owned(), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    println!("cargo:rustc-env=LAKEBED_RUSTC={rustc}");
}
