//! Rules on Rust sources.

use crate::code::code_only;
use crate::text::{has_word, has_word_before, numbered};

/// The one crate that may use `unsafe`, and so has its own lint table.
pub(crate) const UNSAFE_CRATE: &str = "genie-compute";

/// More lines than this in a source file are reported.
pub(crate) const MANY_LINES: usize = 500;

/// More lines than this in a source file fail.
pub(crate) const TOO_MANY_LINES: usize = 800;

/// The part of a source file in front of its inline test module.
fn product_code(source: &str) -> &str {
    test_modules(source)
        .find(|module| module.inline)
        .map_or(source, |module| &source[..module.start])
}

/// A module of a source file that is compiled for tests only.
struct TestModule<'a> {
    name: &'a str,
    /// Where its attribute begins.
    start: usize,
    /// Whether its code stands in this file.
    inline: bool,
}

fn test_modules(source: &str) -> impl Iterator<Item = TestModule<'_>> {
    let mut position = 0;
    let mut attribute = None;
    source.split_inclusive('\n').filter_map(move |line| {
        let start = position;
        position += line.len();
        let text = line.trim();
        if text.starts_with("#[cfg(test)]") {
            attribute = Some(start);
        } else if !text.starts_with("#[") && !text.starts_with("//") {
            let start = attribute.take()?;
            let name = text
                .strip_prefix("pub(crate) ")
                .unwrap_or(text)
                .strip_prefix("mod ")?;
            return Some(TestModule {
                name: name.trim_end_matches([' ', '{', ';', '}']),
                start,
                inline: !name.ends_with(';'),
            });
        }
        None
    })
}

/// The files that hold the test modules which `file` declares: each under both
/// names that it may have.
pub(crate) fn test_files(file: &str, source: &str) -> Vec<String> {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let folder = match name.trim_end_matches(".rs") {
        "lib" | "main" | "mod" => folder.to_owned(),
        stem => format!("{folder}/{stem}"),
    };
    test_modules(source)
        .filter(|module| !module.inline)
        .flat_map(|module| {
            let path = format!("{folder}/{}", module.name);
            [format!("{path}.rs"), format!("{path}/mod.rs")]
        })
        .collect()
}

/// A file with more lines than anybody wants to read.
pub(crate) fn check_length(file: &str, source: &str, limit: usize) -> Option<String> {
    let lines = product_code(source).lines().count();
    (lines > limit).then(|| format!("{file}: {lines} lines without tests, the limit is {limit}"))
}

/// `unsafe` as a word of the code.
pub(crate) fn check_unsafe(file: &str, source: &str) -> Vec<String> {
    numbered(&code_only(source))
        .filter(|(_, line)| has_word(line, "unsafe"))
        .map(|(number, _)| format!("{file}:{number}: unsafe is allowed in {UNSAFE_CRATE} only"))
        .collect()
}

/// Reads of the environment outside its home.
pub(crate) fn check_environment(file: &str, source: &str) -> Vec<String> {
    numbered(&code_only(product_code(source)))
        .filter(|(_, line)| {
            ["env::var", "env::var_os", "env::vars", "env::vars_os"]
                .iter()
                .any(|read| has_word(line, read))
        })
        .map(|(number, _)| {
            format!(
                "{file}:{number}: reads the environment; only the binary does, and hands a value on"
            )
        })
        .collect()
}

/// Printing from a library.
pub(crate) fn check_printing(file: &str, source: &str) -> Vec<String> {
    numbered(&code_only(product_code(source)))
        .filter(|(_, line)| {
            ["println", "eprintln", "print", "eprint"]
                .iter()
                .any(|name| has_word_before(line, name, "!"))
        })
        .map(|(number, _)| {
            format!("{file}:{number}: a library prints; emit a tracing event instead")
        })
        .collect()
}

/// Every rule on a text that breaks it.
#[cfg(test)]
mod planted {
    use super::*;

    #[test]
    fn long_files_are_found_and_their_tests_do_not_count() {
        let code = "fn f() {}\n".repeat(TOO_MANY_LINES);
        let tests = "#[cfg(test)]\n#[allow(dead_code)]\nmod tests {\n}\n".to_owned() + &code;
        assert_eq!(
            check_length("f", &(code.clone() + &tests), TOO_MANY_LINES),
            None
        );
        let long = code + "fn one_more() {}\n";
        assert!(check_length("f", &(long.clone() + &tests), TOO_MANY_LINES).is_some());
        // Only a module ends the count: a single item for tests does not.
        let item = "#[cfg(test)]\nuse std::fs;\n".to_owned() + &long;
        assert!(check_length("f", &item, TOO_MANY_LINES).is_some());
    }

    #[test]
    fn test_modules_in_files_of_their_own_are_known() {
        let source = "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\nuse c::d;\nmod e;\n";
        assert_eq!(
            test_files("src/lib.rs", source),
            ["src/b.rs", "src/b/mod.rs"]
        );
        assert_eq!(
            test_files("src/f.rs", source),
            ["src/f/b.rs", "src/f/b/mod.rs"]
        );
        // What follows such a declaration is the product's.
        let printing = format!("{source}fn f() {{ println!(); }}\n");
        assert_eq!(check_printing("f.rs", &printing).len(), 1);
    }

    #[test]
    fn unsafe_is_found_in_code_only() {
        let code = concat!("fn f() {\n    unsa", "fe { g() }\n}\n");
        assert_eq!(check_unsafe("f.rs", code).len(), 1);
        assert!(check_unsafe("f.rs", code)[0].starts_with("f.rs:2:"));
        for harmless in [
            "// unsafe\n/* unsafe /* unsafe */ unsafe */ fn f() {}\n",
            "#![forbid(unsafe_code)]\n",
            "const A: &str = \"unsafe \\\" unsafe\";\n",
            "const A: &str = r#\"unsafe \" unsafe\"#;\n",
            "const A: &[u8] = b\"unsafe\";\n",
        ] {
            assert!(check_unsafe("f.rs", harmless).is_empty(), "{harmless}");
        }
        // What looks like the start of a string must not hide the rest.
        for start in [
            "let q = '\"';",
            "let q = '\\'';",
            "let q: &'static str;",
            "let r#type = 1;",
            "let q = '\\u{22}';",
            "let q = b'\"';",
            "let q = \"\\\\\";",
        ] {
            let source = format!("{start}\n{code}");
            assert_eq!(check_unsafe("f.rs", &source).len(), 1, "{start}");
        }
    }

    #[test]
    fn environment_reads_are_found() {
        for read in [
            "std::env::var(\"A\")",
            "env::var_os(NAME)",
            "std::env::vars()",
        ] {
            let source = format!("fn f() {{\n    {read};\n}}\n");
            assert_eq!(check_environment("f.rs", &source).len(), 1, "{read}");
            let tests = format!("#[cfg(test)]\nmod tests {{\n    {source}}}\n");
            assert!(check_environment("f.rs", &tests).is_empty(), "{read}");
        }
        let harmless = "const A: &str = env!(\"CARGO_PKG_VERSION\"); // std::env::var\nlet d = std::env::temp_dir();\n";
        assert!(check_environment("f.rs", harmless).is_empty());
    }

    #[test]
    fn printing_is_found() {
        for print in ["println!", "eprintln!", "print!", "eprint!"] {
            let source = format!("//! {print}()\nfn f() {{ {print}(\"{{}}\", 1); }}\n");
            let findings = check_printing("f.rs", &source);
            assert_eq!(findings.len(), 1, "{print}");
            assert!(findings[0].starts_with("f.rs:2:"), "{findings:?}");
        }
        assert!(check_printing("f.rs", "fn f() { blueprint!(); pretty_print(); }\n").is_empty());
    }
}
