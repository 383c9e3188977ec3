//! Files that are refused, each with a clear error.

use std::io::{Cursor, Write};

use genie_core::MediaType;
use genie_ingest::{IngestError, Limits, Source, parse};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::fixtures::{archive, assemble, docx, paragraph, pdf};
use crate::read;

fn refused(uri: &str, bytes: &[u8]) -> IngestError {
    let error = read(uri, bytes).expect_err("has to be refused");
    assert_eq!(error.uri(), uri);
    assert!(error.to_string().starts_with(uri), "{error}");
    error
}

#[test]
fn an_empty_file() {
    for uri in ["a.txt", "a.md", "a.html", "a.pdf", "a.docx", "a"] {
        assert!(matches!(refused(uri, b""), IngestError::Empty { .. }));
        assert!(matches!(
            refused(uri, b" \r\n\t"),
            IngestError::Empty { .. }
        ));
    }
    assert!(matches!(
        refused("a.txt", "\u{feff}\u{a0}\n".as_bytes()),
        IngestError::Empty { .. }
    ));
    assert!(matches!(
        refused("a.md", b"---\ntitle: Only this\n---\n"),
        IngestError::NoText { .. }
    ));
    assert!(matches!(
        refused("a.html", b"<html><script>let x = 1;</script></html>"),
        IngestError::NoText { .. }
    ));
}

#[test]
fn a_text_of_200_megabytes() {
    let text = vec![b'a'; 200 << 20];
    let error = refused("big.txt", &text);
    assert_eq!(
        error.to_string(),
        "big.txt has 209715200 bytes, but text/plain files are read up to 67108864 bytes; \
         split it into smaller files"
    );
    assert!(
        Limits::default()
            .check_size("big.txt", MediaType::Text, 200 << 20)
            .is_err()
    );
}

#[test]
fn too_many_characters() {
    let limits = Limits {
        max_text_chars: 10,
        ..Limits::default()
    };
    let parse = |text: &str| {
        parse(
            &Source {
                bytes: text.as_bytes(),
                uri: "a.txt",
                media_type: None,
            },
            &limits,
        )
    };
    assert!(parse("ééééééééé").is_ok());
    assert_eq!(
        parse("ééééééééééé").expect_err("eleven").to_string(),
        "a.txt holds more than 10 characters of text, the most that one document may have; \
         split it into smaller files"
    );
}

#[test]
fn a_truncated_pdf() {
    let whole = pdf(&[
        &["A line of text that is in this file."],
        &["And another on its second page."],
    ]);
    assert!(read("a.pdf", &whole).is_ok());
    for part in [9, whole.len() / 4, whole.len() / 2] {
        let error = refused("a.pdf", &whole[..part]);
        assert!(
            matches!(
                error,
                IngestError::Damaged { .. } | IngestError::NoTextLayer { .. }
            ),
            "{part}: {error}"
        );
    }
    assert!(matches!(
        refused("a.pdf", &whole[..9]),
        IngestError::Damaged { .. }
    ));
}

#[test]
fn a_pdf_of_pictures() {
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << >> >>",
    ]
    .map(str::to_owned);
    assert!(matches!(
        refused("scan.pdf", &assemble(&objects)),
        IngestError::NoTextLayer { .. }
    ));
}

#[test]
fn a_zip_bomb() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, megabytes) in [("[Content_Types].xml", 0), ("word/document.xml", 100)] {
        writer
            .start_file(name, SimpleFileOptions::default())
            .expect("a new entry");
        for _ in 0..megabytes {
            writer.write_all(&vec![b' '; 1 << 20]).expect("in memory");
        }
    }
    let bomb = writer.finish().expect("in memory").into_inner();
    assert!(bomb.len() < 1 << 20);
    let error = refused("bomb.docx", &bomb);
    let IngestError::ArchiveTooLarge {
        expanded, limit, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(expanded, 100 << 20);
    assert!(limit < expanded);

    // The same with a size that lies.
    let mut liar = bomb.clone();
    let size = (100_u32 << 20).to_le_bytes();
    let lie = 5_u32.to_le_bytes();
    let mut found = 0;
    for at in 0..liar.len() - 4 {
        if liar[at..at + 4] == size {
            liar[at..at + 4].copy_from_slice(&lie);
            found += 1;
        }
    }
    assert!(found > 0);
    let error = refused("liar.docx", &liar);
    assert!(
        matches!(
            error,
            IngestError::ArchiveTooLarge { .. } | IngestError::Damaged { .. }
        ),
        "{error}"
    );
}

#[test]
fn a_damaged_docx() {
    let whole = docx(&paragraph("", &["Text."]));
    for part in [whole.len() / 2, whole.len() - 5] {
        let error = refused("a.docx", &whole[..part]);
        assert!(matches!(error, IngestError::Damaged { .. }), "{error}");
    }
    let other = archive(&[("xl/workbook.xml", "<workbook/>")]);
    assert!(matches!(
        refused("a.docx", &other),
        IngestError::WrongExtension { .. }
    ));
    assert!(matches!(
        refused("a.zip", &other),
        IngestError::UnsupportedFormat { .. }
    ));
}

#[test]
fn too_many_entries() {
    let names: Vec<String> = (0..50).map(|number| format!("word/{number}.xml")).collect();
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    files.push(("word/document.xml", "<w/>"));
    let error = parse(
        &Source {
            bytes: &archive(&files),
            uri: "a.docx",
            media_type: None,
        },
        &Limits {
            max_archive_entries: 20,
            ..Limits::default()
        },
    )
    .expect_err("51 entries");
    assert!(matches!(
        error,
        IngestError::ArchiveTooManyEntries {
            entries: 51,
            limit: 20,
            ..
        }
    ));
}

#[test]
fn invalid_utf8() {
    let error = refused("a.md", b"# Caf\xe9\n");
    assert!(matches!(error, IngestError::InvalidUtf8 { offset: 5, .. }));
    assert!(error.to_string().contains("iconv -f"));
    assert!(matches!(
        refused("a.html", b"<p>caf\xe9</p>"),
        IngestError::InvalidUtf8 { .. }
    ));
}

#[test]
fn another_format_than_named() {
    let file = pdf(&[&["Text."]]);
    assert_eq!(
        refused("a.txt", &file).to_string(),
        "a.txt is named as text/plain, but its content is application/pdf; rename it and try again"
    );
    assert!(matches!(
        refused("a.txt", b"ab\0cd"),
        IngestError::NotText { offset: 2, .. }
    ));
}

#[test]
fn pages_nested_a_hundred_thousand_deep() {
    let page = format!(
        "<html>{}deep{}",
        "<div>".repeat(100_000),
        "</div>".repeat(100_000)
    );
    let document = read("deep.html", page.as_bytes()).expect("flattened");
    assert!(document.text.contains("deep"));
    let quotes = format!("{} deep", "> ".repeat(50_000));
    assert!(read("deep.md", quotes.as_bytes()).is_ok());
    let lists = "- ".repeat(50_000) + "deep";
    assert!(read("deep.md", lists.as_bytes()).is_ok());
}
