//! What each format becomes.

use crate::fixtures::{docx, docx_table, paragraph, pdf, visual_pdf};
use crate::{assert_sound, chunks, count, outline, read};

#[test]
fn markdown() {
    let text = "---\ntitle: Spectrum\nlanguage: en\nlabels: [infrastructure/spectrum]\nsources:\n  - document: \"Hidden source\"\n---\n\n# Spectrum for *everyone*\n\nIntro paragraph.\n\n## Bands\n\n| Band | Use |\n| ---- | --- |\n| 700 MHz | Rural |\n\n{% hint style=\"info\" %}\nA hint.\n{% endhint %}\n\n* one\n* two\n\n```sh\nls\n```\n";
    let document = read("a/spectrum.md", text.as_bytes()).expect("sound");
    assert_eq!(document.text, text);
    insta::assert_snapshot!(outline(&document), @r#"
    Spectrum | text/markdown | en ["infrastructure/spectrum"]
    H1: # Spectrum for *everyone*
    Paragraph: Intro paragraph.
    H2: ## Bands
    Table: | Band | Use |
    | ---- | --- |
    | 700 MHz | Rural |
    Paragraph: A hint.
    ListItem: * one
    ListItem: * two
    Code: ```sh
    ls
    ```
    "#);
    let chunks = chunks(&document);
    assert_sound(&document, &chunks);
    assert!(
        chunks
            .iter()
            .all(|chunk| !chunk.text.contains("Hidden source"))
    );
}

#[test]
fn html() {
    let page = "<!DOCTYPE html><html lang=\"en\"><head><title>Cables | Site</title><style>p{}</style><script>var x = 1;</script></head><body><nav><a href=\"/\">Home</a></nav><p>Before the heading.</p><h1>Submarine <em>cables</em></h1><p>They carry “most” of the <b>traffic</b>, see <a href=\"http://example.org\">the map</a>.</p><ul><li>Repair ships</li><li>Landing <i>stations</i></li></ul><ol><li><p>First</p></li><li>Second</li></ol><table><tr><th>Year</th><th>Cuts</th></tr><tr><td>2024</td><td><p>46</p><p>in all</p></td></tr></table><p hidden>secret</p><p style=\"display:none\">hidden</p><h2>Code</h2><pre>a  b\nc</pre><div>Loose text</div><footer>Imprint</footer></body></html>";
    let document = read("cables.html", page.as_bytes()).expect("sound");
    insta::assert_snapshot!(outline(&document), @r#"
    Submarine cables | text/html | en []
    Paragraph: Before the heading.
    H1: Submarine cables
    Paragraph: They carry “most” of the traffic, see the map.
    ListItem: - Repair ships
    ListItem: - Landing stations
    ListItem: 1. First
    ListItem: 2. Second
    Table: | Year | Cuts |
    | --- | --- |
    | 2024 | 46 in all |
    H2: Code
    Code: a  b
    c
    Paragraph: Loose text
    "#);
    assert_sound(&document, &chunks(&document));
}

#[test]
fn docx_with_headings_lists_and_tables() {
    let body = [
        paragraph("Title", &["Plan national"]),
        paragraph("Heading1", &["Objectifs"]),
        paragraph(
            "",
            &[
                "Le plan vise ",
                "*toutes les régions",
                ", sans exception (voir ",
                "*l’annexe",
                ").",
            ],
        ),
        docx_table(&[&["Année", "Part"], &["2025", "80 %"]]),
        paragraph("Heading2", &["Calendrier"]),
        paragraph("", &["Trois ans."]),
    ]
    .concat();
    let document = read("plan.docx", &docx(&body)).expect("sound");
    insta::assert_snapshot!(outline(&document), @r#"
    Plan national | application/vnd.openxmlformats-officedocument.wordprocessingml.document | fr []
    H1: Plan national
    H1: Objectifs
    Paragraph: Le plan vise toutes les régions, sans exception (voir l’annexe).
    Table: | Année | Part |
    | --- | --- |
    | 2025 | 80 % |
    H2: Calendrier
    Paragraph: Trois ans.
    "#);
    assert_sound(&document, &chunks(&document));
}

#[test]
fn pdf_with_pages() {
    let file = pdf(&[
        &[
            "Annual report",
            "",
            "1 Coverage of networks",
            "",
            "The network reaches most of the villages that were named in",
            "the plan of 2024, and the others are to follow in 2026 (see",
            "the annex).",
            "",
            "It grew by a third.",
        ],
        &[
            "2 Finance",
            "",
            "The fund paid for a hundred schools and their connec-",
            "tion, as the council had decided in its last session of the",
            "year.",
        ],
    ]);
    let document = read("report.pdf", &file).expect("sound");
    insta::assert_snapshot!(outline(&document), @r#"
    Annual report | application/pdf | en []
    H1 p1: Annual report
    H1 p1: 1 Coverage of networks
    Paragraph p1: The network reaches most of the villages that were named in the plan of 2024, and the others are to follow in 2026 (see the annex).
    Paragraph p1: It grew by a third.
    H1 p2: 2 Finance
    Paragraph p2: The fund paid for a hundred schools and their connection, as the council had decided in its last session of the year.
    "#);
    let chunks = chunks(&document);
    assert_sound(&document, &chunks);
    assert_eq!(chunks[0].page, Some(1));
}

/// Neither sentences nor words to cut at.
#[test]
fn a_megabyte_without_a_space() {
    for letter in ["a", "五"] {
        let text = letter.repeat(1 << 20);
        let document = read("long.txt", text.as_bytes()).expect("sound");
        let chunks = chunks(&document);
        assert_sound(&document, &chunks);
        assert!(chunks.iter().all(|chunk| count(&chunk.text) <= 350));
    }
}

#[test]
fn tables_with_row_headers_stay_tables() {
    let page = "<h1>T</h1><table><tr><th>Year</th><td>2024</td></tr><tr><th>Cuts</th><td>46</td></tr></table><table><tr><td>Only layout</td></tr></table>";
    let document = read("a.html", page.as_bytes()).expect("sound");
    assert_eq!(
        document.text,
        "T\n\n| Year | 2024 |\n| --- | --- |\n| Cuts | 46 |\n\nOnly layout"
    );
}

/// Right-to-left text is drawn from the left by most programs, the last
/// letter first; a quote has to be in reading order.
#[test]
fn arabic_pdf_is_in_reading_order() {
    let line = "يصل الألياف الضوئية إلى كل القرى";
    let document = read("network.pdf", &visual_pdf(line)).expect("sound");
    assert_eq!(document.text, line);
    assert_eq!(document.language, Some(genie_core::Language::Arabic));
}

#[test]
fn plain_text() {
    let text = "\u{feff} \tReport of the Secretary\n\n\tREPORT ON THE STATE OF THE NATIONAL NETWORKS/\nAND OF THEIR SERVICES IN ALL PROVINCES\n\n\tObject\nThe present document reports on the state of the networks in all provinces of the country, which the council asked for in its decision of 2024.\n__________\n\n1\tNetworks\nFibre reaches eight of ten municipalities, and the remaining two are connected by microwave links which will be replaced in 2027.\n–\tfirst, the north;\n–\tthen the south.\n1.1\tEnergy\nEvery station has batteries for eight hours and a contract for fuel, which were both used in the storm of January.\n";
    let document = read("report.txt", text.as_bytes()).expect("sound");
    insta::assert_snapshot!(outline(&document), @r#"
    REPORT ON THE STATE OF THE NATIONAL NETWORKS/AND OF THEIR SERVICES IN ALL PROVINCES | text/plain | en []
    H1: Report of the Secretary
    H1: REPORT ON THE STATE OF THE NATIONAL NETWORKS/
    AND OF THEIR SERVICES IN ALL PROVINCES
    H1: Object
    Paragraph: The present document reports on the state of the networks in all provinces of the country, which the council asked for in its decision of 2024.
    H1: 1	Networks
    Paragraph: Fibre reaches eight of ten municipalities, and the remaining two are connected by microwave links which will be replaced in 2027.
    ListItem: –	first, the north;
    ListItem: –	then the south.
    H2: 1.1	Energy
    Paragraph: Every station has batteries for eight hours and a contract for fuel, which were both used in the storm of January.
    "#);
    assert_sound(&document, &chunks(&document));
}
