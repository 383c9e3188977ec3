//! Makes the binary smaller while it is linked: relative relocations are
//! packed (five megabytes) and identical functions kept once (two).

use std::process::Command;

/// The first C library whose loader knows packed relocations.
const PACKED_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}"));
    let gnu = target("OS").as_deref() == Ok("linux") && target("ENV").as_deref() == Ok("gnu");
    if !gnu {
        return;
    }
    // A linker that does not know it says so and goes on.
    if glibc().is_some_and(|version| version >= PACKED_SINCE) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // Only lld, which rustc links with on this architecture, and mold know it.
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let other = [
        "fuse-ld=bfd",
        "linker-features=-lld",
        "self-contained=-linker",
    ];
    if target("ARCH").as_deref() == Ok("x86_64") && !other.iter().any(|flag| flags.contains(flag)) {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}

/// The version of the C library here, such as (2, 36).
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
