//! Lets the binary find the prebuilt libduckdb beside itself, where the warehouse's build script puts it, and know how it was
//! compiled, which every benchmark record says; makes it start fast.
//!
//! Knows nothing of DuckDB but the folder; without the library the linker's search path is simply unused.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let origin =
        if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("macos") { "@loader_path" } else { "$ORIGIN" };
    for folder in [origin.to_owned(), format!("{origin}/deps")] {
        println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{folder}");
    }
    if packs_relocations() {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    let said = |name: &str| std::env::var(name).unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo:rustc-env=LAKEBED_OPT_LEVEL={}", said("OPT_LEVEL"));
    let rustc = std::process::Command::new(said("RUSTC")).arg("--version").output();
    let rustc =
        rustc.map_or_else(|_| "unknown".to_owned(), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    println!("cargo:rustc-env=LAKEBED_RUSTC={rustc}");
}

/// Whether linker and C library of this machine know packed relative relocations. With them the loader reads a hundred
/// kilobytes at every start instead of five megabytes, which stay in memory as long as the process. Whatever fails here, no
/// compiler or another machine to compile for, only leaves the option out.
fn packs_relocations() -> bool {
    let said = |name: &str| std::env::var(name).unwrap_or_default();
    if said("HOST") != said("TARGET") || said("CARGO_CFG_TARGET_OS") != "linux" || said("CARGO_CFG_TARGET_ENV") != "gnu"
    {
        return false;
    }
    let folder = std::path::PathBuf::from(said("OUT_DIR"));
    let (source, probe) = (folder.join("probe.c"), folder.join("probe"));
    // An old linker refuses the option, an old C library refuses the program.
    std::fs::write(&source, "int (*volatile kept)(void);\nint main(void) { kept = main; return kept != main; }\n")
        .is_ok()
        && succeeds(
            std::process::Command::new(std::env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned()))
                .args(["-fPIE", "-pie", "-Wl,-z,pack-relative-relocs", "-o"])
                .arg(&probe)
                .arg(&source),
        )
        && succeeds(&mut std::process::Command::new(&probe))
}

fn succeeds(command: &mut std::process::Command) -> bool {
    command.output().is_ok_and(|ended| ended.status.success())
}
