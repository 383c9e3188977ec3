use genie_core::{Block, Document, DocumentId, MediaType};

use crate::canonical::Canonical;
use crate::contained::contained;
use crate::front_matter::{self, FrontMatter};
use crate::positions::Positions;
use crate::{
    IngestError, LanguageDetector, Limits, archive, converted, docx, encoding, html, markdown,
    media, pdf, plain,
};

/// A file's bytes with what is known about them.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    /// Path or URI: it names the document, and its extension tells the
    /// format.
    pub uri: &'a str,
    /// The format, where it is known from elsewhere (a `Content-Type`).
    pub media_type: Option<MediaType>,
}

/// Reads a file's bytes into a document.
///
/// Nothing is fetched and no other file is opened. Text and Markdown keep
/// their own text, so that spans are positions in the file (behind a byte
/// order mark); HTML, PDF and DOCX get the text that is taken out of them,
/// blocks separated by blank lines, tables as Markdown rows.
///
/// # Errors
///
/// Fails for files that are empty, over a [limit](Limits), damaged,
/// encrypted, in another format than named, or without text, and says which.
pub fn parse(source: &Source<'_>, limits: &Limits) -> Result<Document, IngestError> {
    let uri = source.uri.to_owned();
    let size = source.bytes.len() as u64;
    if size > limits.max_file_bytes {
        // Said before the format is known, which takes a look inside.
        let media_type = source
            .media_type
            .or_else(|| media::media_type_of_name(source.uri))
            .unwrap_or(MediaType::Text);
        limits.check_size(source.uri, media_type, size)?;
    }
    if source.bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(IngestError::Empty { uri });
    }
    let media_type = media::detect(source)?;
    limits.check_size(source.uri, media_type, size)?;
    let parsed = match media_type {
        MediaType::Text => parse_text(source),
        MediaType::Markdown => parse_markdown(source, limits),
        MediaType::Html | MediaType::Pdf | MediaType::Docx => {
            parse_converted(source, media_type, limits)
        }
    }?;
    if parsed.blocks.is_empty() {
        return Err(match media_type {
            MediaType::Pdf => IngestError::NoTextLayer { uri },
            _ if parsed.text.trim().is_empty() && is_text(media_type) => IngestError::Empty { uri },
            _ => IngestError::NoText { uri, media_type },
        });
    }
    // Characters are never more than bytes, which are known.
    if parsed.text.len() > limits.max_text_chars
        && parsed.text.chars().count() > limits.max_text_chars
    {
        return Err(IngestError::TooMuchText {
            uri,
            limit: limits.max_text_chars,
        });
    }
    let language = parsed
        .front_matter
        .language
        .or_else(|| LanguageDetector.detect(&sample(&parsed)));
    let title = parsed
        .front_matter
        .title
        .or(parsed.title)
        .map(|title| plain::one_line(&title))
        .filter(|title| !title.is_empty())
        .unwrap_or_else(|| title_of_name(source.uri));
    tracing::debug!(
        uri = source.uri,
        %media_type,
        blocks = parsed.blocks.len(),
        "parsed"
    );
    Ok(Document {
        id: DocumentId::of(source.bytes),
        uri,
        title,
        media_type,
        bytes: size,
        text: parsed.text,
        blocks: parsed.blocks,
        language,
        labels: parsed.front_matter.labels,
        date: parsed.front_matter.date,
    })
}

const fn is_text(media_type: MediaType) -> bool {
    matches!(media_type, MediaType::Text | MediaType::Markdown)
}

struct Parsed {
    text: String,
    blocks: Vec<Block>,
    title: Option<String>,
    front_matter: FrontMatter,
}

fn parse_text(source: &Source<'_>) -> Result<Parsed, IngestError> {
    let text = encoding::decode_text(source)?;
    let (title, blocks) = plain::blocks_of(&text);
    Ok(Parsed {
        text,
        blocks,
        title,
        front_matter: FrontMatter::default(),
    })
}

fn parse_markdown(source: &Source<'_>, limits: &Limits) -> Result<Parsed, IngestError> {
    let text = encoding::decode_text(source)?;
    contained(source.uri, limits.max_time, move || {
        let front_matter = front_matter::read(&text);
        let (title, blocks) = markdown::blocks_of(&text, front_matter.end);
        Ok(Parsed {
            text,
            blocks,
            title,
            front_matter,
        })
    })
}

fn parse_converted(
    source: &Source<'_>,
    media_type: MediaType,
    limits: &Limits,
) -> Result<Parsed, IngestError> {
    let bytes = match media_type {
        // docling decodes too, but guesses where it can't; the mark tells it
        // that the work is done.
        MediaType::Html => format!("\u{feff}{}", encoding::decode_html(source)?).into_bytes(),
        MediaType::Docx => {
            archive::check(source.uri, source.bytes, limits)?;
            source.bytes.to_vec()
        }
        _ => source.bytes.to_vec(),
    };
    let uri = source.uri.to_owned();
    contained(source.uri, limits.max_time, move || {
        let document = converted::converted(&uri, media_type, bytes)?;
        let (title, canonical): (Option<String>, Canonical) = match media_type {
            MediaType::Html => html::blocks_of(&document),
            MediaType::Docx => docx::blocks_of(&document),
            _ => (None, pdf::blocks_of(&document)),
        };
        let (text, blocks) = canonical.finish();
        let title = title.or_else(|| first_heading(&text, &blocks));
        Ok(Parsed {
            text,
            blocks,
            title,
            front_matter: FrontMatter::default(),
        })
    })
}

/// The first heading of the highest level, else a short first block.
fn first_heading(text: &str, blocks: &[Block]) -> Option<String> {
    use genie_core::BlockKind;
    let heading = blocks
        .iter()
        .filter_map(|block| match block.kind {
            BlockKind::Heading { level } => Some((level, block)),
            _ => None,
        })
        .min_by_key(|(level, _)| *level)
        .map(|(_, block)| block);
    let block = heading.or_else(|| blocks.first())?;
    let positions = Positions::new(text);
    let title = plain::one_line(&text[positions.bytes(block.span)]);
    (title.chars().count() <= 150).then_some(title)
}

/// Some text of the document's beginning, middle and end.
fn sample(parsed: &Parsed) -> String {
    const PLACES: usize = 12;
    const CHARS: usize = 300;
    let positions = Positions::new(&parsed.text);
    let step = parsed.blocks.len().div_ceil(PLACES).max(1);
    let mut sample = String::new();
    for block in parsed.blocks.iter().step_by(step) {
        sample.extend(parsed.text[positions.bytes(block.span)].chars().take(CHARS));
        sample.push('\n');
    }
    sample
}

/// `reports/annual-report_2025.pdf` is "annual report 2025".
fn title_of_name(uri: &str) -> String {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    let file = path
        .trim_end_matches(['/', '\\'])
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or(path);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let title = plain::one_line(&stem.replace(['-', '_'], " "));
    if title.is_empty() {
        uri.to_owned()
    } else {
        title
    }
}
