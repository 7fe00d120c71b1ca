//! Puts the prebuilt libduckdb where cargo's binaries and tests look for it: `target/<profile>/deps`, which cargo has on
//! the library path, and `target/<profile>`, for a binary that is started by hand from there.
//!
//! Promises a readable refusal when the library is nowhere to be found. Does nothing with the feature `bundled-duckdb`
//! (the library is then inside the binary) or when libduckdb-sys downloads it (`DUCKDB_DOWNLOAD_LIB=1`; it copies itself).

use std::path::{Path, PathBuf};
use std::{env, fs};

const LIBRARIES: [&str; 2] = ["libduckdb.so", "libduckdb.dylib"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    println!("cargo:rerun-if-env-changed=DUCKDB_DOWNLOAD_LIB");
    let downloads = env::var("DUCKDB_DOWNLOAD_LIB").is_ok_and(|value| value == "1" || value == "true");
    if env::var_os("CARGO_FEATURE_BUNDLED_DUCKDB").is_some() {
        return;
    }
    let folder = env::var_os("DUCKDB_LIB_DIR").map(PathBuf::from);
    let library = folder
        .as_ref()
        .and_then(|folder| LIBRARIES.iter().map(|name| folder.join(name)).find(|candidate| candidate.is_file()));
    match library {
        Some(library) => place(&library),
        None if downloads => {}
        None => refuse(folder.as_deref()),
    }
}

fn place(library: &Path) {
    println!("cargo:rerun-if-changed={}", library.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // OUT_DIR is target/[triple/]<profile>/build/<crate>-<hash>/out.
    let profile = out.ancestors().nth(3).expect("OUT_DIR lies three folders below the profile's");
    let name = library.file_name().expect("a library found by name has a name");
    for folder in [profile.to_path_buf(), profile.join("deps")] {
        let target = folder.join(name);
        // A fresh name and a rename: a running test may still have the old file mapped.
        let incoming = folder.join(".libduckdb.incoming");
        let copied = fs::create_dir_all(&folder)
            .and_then(|()| fs::copy(library, &incoming).map(drop))
            .and_then(|()| fs::rename(&incoming, &target));
        if let Err(error) = copied {
            panic!("failed to copy `{}` to `{}`: {error}", library.display(), target.display());
        }
    }
}

fn refuse(folder: Option<&Path>) -> ! {
    let looked =
        folder.map_or_else(|| "DUCKDB_LIB_DIR is not set".to_owned(), |f| format!("looked in `{}`", f.display()));
    panic!(
        "libduckdb 1.5.5 was not found ({looked}). Either fetch the prebuilt library (24 MB) and build again:\n\n    make setup\n    \
         cargo build\n\nor compile DuckDB from source (about 40 minutes on two cores):\n\n    cargo build --features bundled-duckdb\n"
    );
}
