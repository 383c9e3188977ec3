//! No bytes make a parser panic, and what is parsed is sound.

use proptest::prelude::*;

use crate::fixtures::{docx, paragraph, pdf};
use crate::{assert_sound, chunks, read};

/// Panics inside parsers become errors, which would hide ours.
fn check(uri: &str, bytes: &[u8]) {
    match read(uri, bytes) {
        Ok(document) => assert_sound(&document, &chunks(&document)),
        Err(error) => assert!(
            !matches!(error, genie_ingest::IngestError::ParserFailed { .. }),
            "{error}"
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for uri in ["a.txt", "a.md", "a.html", "a.pdf", "a.docx", "a"] {
            check(uri, &bytes);
        }
    }

    #[test]
    fn text(text in "[#*|\\-<>/`{}%a-zA-Z0-9 .;\n\t\r\u{c}é五。؟ا–]{0,1500}") {
        check("a.txt", text.as_bytes());
        check("a.md", text.as_bytes());
        check("a.html", text.as_bytes());
    }

    #[test]
    fn markdown_of_parts(parts in prop::collection::vec(prop_oneof![
        "#{1,6} [A-Z][a-z ]{1,30}\n\n",
        "[A-Z][a-z ]{20,400}\\.\n\n",
        "(\\* [a-z ]{1,60}\n){1,5}\n",
        "\\| a \\| b \\|\n\\|---\\|---\\|\n(\\| [a-z ]{1,90} \\| 五六。 \\|\n){1,40}\n",
        "<table><tr><td>[a-z]{1,9}</td></tr></table>\n\n",
        "```\n[a-z\n]{0,500}\n```\n\n",
    ], 0..40)) {
        check("a.md", parts.concat().as_bytes());
    }

    #[test]
    fn damaged_files(at in 0usize..2000, byte in any::<u8>()) {
        let mut file = pdf(&[&["1 Heading", "", "Some text on a page."]]);
        let index = at % file.len();
        file[index] = byte;
        let _ = read("a.pdf", &file);
        let mut file = docx(&paragraph("", &["Some text."]));
        let index = at % file.len();
        file[index] = byte;
        let _ = read("a.docx", &file);
    }
}
