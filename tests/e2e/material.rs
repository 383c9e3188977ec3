//! Documents that the tests index, good ones and bad ones.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const CABLE: &str = "# Submarine cables\n\nA submarine cable lies on the sea floor and carries \
light between continents. A repair ship lifts a broken cable and splices it again.\n\n\
## Landing\n\nA landing station joins the cable to the network on land.\n";

const EXCHANGE: &str = "# Internet exchange points\n\nAn Internet exchange point is a place where \
networks meet and hand over traffic to each other directly. Local traffic stays local, which \
makes it cheaper and quicker.\n";

const SPECTRUM: &str = "# Spectrum\n\nRadio spectrum is shared by mobile networks, broadcasters \
and satellites. A regulator licenses bands so that their signals don't disturb each other.\n";

/// A folder for one test, gone with it.
pub(crate) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("genie-e2e-")
            .tempdir()
            .expect("a temporary folder");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Writes a file, with the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, content).expect("a file");
        path
    }

    /// Three short articles in the folder `docs`.
    pub(crate) fn articles(&self) -> PathBuf {
        self.write("docs/cable.md", CABLE);
        self.write("docs/exchange.md", EXCHANGE);
        self.write("docs/spectrum.md", SPECTRUM);
        self.path("docs")
    }

    /// A sound document that is not one of the articles.
    pub(crate) fn another(&self, name: &str) -> PathBuf {
        self.write(
            name,
            "# Fibre\n\nAn optical fibre is a thread of glass that guides light over hundreds of \
             kilometres.\n",
        )
    }

    /// A text that takes a while to index: many chunks, none like another.
    pub(crate) fn long_text(&self, name: &str) -> PathBuf {
        let mut text = String::from("# A long report\n\n");
        let words = [
            "fibre",
            "mast",
            "tower",
            "signal",
            "school",
            "coast",
            "island",
            "budget",
            "licence",
            "traffic",
            "storm",
            "warning",
            "village",
            "satellite",
            "router",
            "power",
        ];
        let mut random = Random::new(7);
        for paragraph in 0..3000 {
            text.push_str(&format!("Finding {paragraph}:"));
            for _ in 0..25 {
                text.push(' ');
                text.push_str(words[random.below(words.len() as u64) as usize]);
            }
            text.push_str(".\n\n");
        }
        self.write(name, text)
    }

    pub(crate) fn empty(&self, name: &str) -> PathBuf {
        self.write(name, "")
    }

    /// 200 MB of text, really written.
    pub(crate) fn huge(&self, name: &str) -> PathBuf {
        let path = self.write(name, "");
        let mut file = File::create(&path).expect("a file");
        let block = "A line of a log that nobody meant to index.\n".repeat(25_000);
        for _ in 0..200_000_000_usize.div_ceil(block.len()) {
            file.write_all(block.as_bytes()).expect("200 MB of disk");
        }
        path
    }

    pub(crate) fn not_utf8(&self, name: &str) -> PathBuf {
        self.write(
            name,
            b"R\xe9seau \xe0 large bande, d\xe9ploy\xe9 en 2024.\n",
        )
    }

    /// The first half of a PDF file.
    pub(crate) fn half_a_pdf(&self, name: &str) -> PathBuf {
        let whole = pdf("Broadband reaches the island by a submarine cable.");
        self.write(name, &whole[..whole.len() / 2])
    }

    /// The whole of it.
    pub(crate) fn pdf(&self, name: &str) -> PathBuf {
        self.write(
            name,
            pdf("Broadband reaches the island by a submarine cable."),
        )
    }

    /// A DOCX file of a third of a megabyte whose text has 300 MB.
    pub(crate) fn zip_bomb(&self, name: &str) -> PathBuf {
        let path = self.write(name, "");
        let mut archive = zip::ZipWriter::new(BufWriter::new(File::create(&path).expect("a file")));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        let mut part = |name: &str, head: &str, filler: usize, tail: &str| {
            archive.start_file(name, options).expect("an entry");
            archive.write_all(head.as_bytes()).expect("an entry");
            let block = vec![b'a'; 1 << 20];
            for _ in 0..filler {
                archive.write_all(&block).expect("an entry");
            }
            archive.write_all(tail.as_bytes()).expect("an entry");
        };
        part(
            "[Content_Types].xml",
            r#"<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"#,
            0,
            "",
        );
        part(
            "_rels/.rels",
            r#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>"#,
            0,
            "",
        );
        part(
            "word/document.xml",
            r#"<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>"#,
            300,
            "</w:t></w:r></w:p></w:body></w:document>",
        );
        archive.finish().expect("an archive");
        path
    }
}

/// A PDF file of one page with one line of text.
fn pdf(line: &str) -> Vec<u8> {
    let content = format!("BT /F1 18 Tf 72 720 Td ({line}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!(
            "<< /Length {} >>\nstream\n{content}\nendstream",
            content.len()
        ),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        file.extend(format!("{} 0 obj\n{object}\nendobj\n", index + 1).bytes());
    }
    let table = file.len();
    file.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
    for offset in offsets {
        file.extend(format!("{offset:010} 00000 n \n").bytes());
    }
    file.extend(
        format!(
            "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n",
            objects.len() + 1
        )
        .bytes(),
    );
    file
}

/// The root of the checkout.
pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a root")
        .to_owned()
}

/// The real documents beside the checkout. Says so if they are absent.
pub(crate) fn shared_corpus() -> Option<PathBuf> {
    let folder = checkout().parent()?.join("shared/corpus");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there is no ../shared/corpus beside the checkout");
    None
}

/// A dozen short English articles: the shortest of the real documents where
/// they are, else of the starter corpus.
pub(crate) fn a_dozen() -> Vec<PathBuf> {
    let folder = shared_corpus().map_or_else(
        || checkout().join("corpus/starter/en"),
        |corpus| corpus.join("govstack"),
    );
    let mut files: Vec<(u64, PathBuf)> = fs::read_dir(folder)
        .expect("documents")
        .map(|entry| {
            let entry = entry.expect("an entry");
            (entry.metadata().expect("a length").len(), entry.path())
        })
        .collect();
    files.sort();
    files.into_iter().take(12).map(|(_, path)| path).collect()
}

/// Repeatable randomness (SplitMix64): a failure can be run again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Copies a folder with everything in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
