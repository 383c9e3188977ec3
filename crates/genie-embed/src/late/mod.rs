//! Late interaction over the encoder's own token vectors.
//!
//! The encoder was trained for one vector a text, yet its token vectors tell
//! much more: on the development questions all evidence is among the first
//! five passages for .69 of them by the vectors of whole passages and for .94
//! by those of tokens (`docs/benchmarks/retrieval.md`).
//!
//! Tokens count by how rare they are. The tokenizer's unigram vocabulary says
//! so by itself: the logarithm of a token's probability. Common ones are left
//! out of the codes of a passage, a third of all tokens, which changes
//! nothing, and hardly count in a query.

mod codes;

use genie_core::{
    EmbedError, Embedding, LateInteraction, TextRole, TokenCodes, TokenVectors, Tongues,
};
use rayon::prelude::*;

pub(crate) use self::codes::Codec;
use crate::TextEmbedder;

/// Tokens of a passage that are more common than this, in natural logarithms
/// of one over the probability, have no codes: "the", "de", punctuation.
const LEAST_RARITY: f32 = 8.0;
/// A token of a query counts by this power of its rarity.
const RARITY_POWER: i32 = 3;
/// The rarity that any token of a query has at least.
const LEAST_WEIGHED: f32 = 0.1;

/// Sentences in the six languages whose tokens have about the mean vector of
/// any text. They are part of the codes: they must not change under one
/// version.
const ORDINARY: [&str; 12] = [
    "The regulator published the new rules for spectrum in March, after two years of consultation.",
    "Most villages in the north are connected by radio links, and some of them by fibre.",
    "Le ministère a publié le rapport annuel sur les réseaux et les services numériques du pays.",
    "Les écoles rurales auront accès à Internet grâce à un satellite et à des panneaux solaires.",
    "El gobierno aprobó un plan de cinco años para llevar la fibra óptica a todas las provincias.",
    "La población de la isla depende de un solo cable submarino, que se reparó dos veces en 2023.",
    "Министерство опубликовало отчёт о развитии сетей связи и цифровых услуг в сельских районах.",
    "В этом году к сети подключили более трёхсот школ, больниц и библиотек на севере страны.",
    "نشرت الهيئة تقريرها السنوي عن شبكات الاتصالات والخدمات الرقمية في المناطق الريفية.",
    "تعتمد المدارس في الجبال على الأقمار الصناعية لأن الألياف البصرية لم تصل إليها بعد.",
    "监管机构在三月公布了新的频谱规则，并就农村地区的网络覆盖征求了意见。",
    "这个国家的大多数学校已经接入互联网，其中一部分通过卫星连接。",
];

impl TextEmbedder {
    fn codec(&self) -> Result<&Codec, EmbedError> {
        if let Some(codec) = self.codec.get() {
            return Ok(codec);
        }
        let texts = ORDINARY.map(str::to_owned);
        let read = self.run_all(&texts, |text| {
            let prefix = self.prefix(TextRole::Passage);
            self.tokenizer.encode_wanting(prefix, text, 0.0)
        })?;
        let vectors: Vec<f32> = read.into_iter().flat_map(|read| read.vectors).collect();
        let codec = Codec::around(&vectors, self.identity.dimension);
        Ok(self.codec.get_or_init(|| codec))
    }
}

impl LateInteraction for TextEmbedder {
    fn version(&self) -> &str {
        "tokens-2"
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<(Embedding, TokenCodes)>, EmbedError> {
        let codec = self.codec()?;
        let prefix = self.prefix(TextRole::Passage);
        let read = self.run_all(texts, |text| {
            self.tokenizer.encode_wanting(prefix, text, LEAST_RARITY)
        })?;
        let coded = read.into_par_iter().map(|read| {
            let codes = codec.encode(&read.vectors);
            (read.whole, TokenCodes(codes))
        });
        Ok(coded.collect())
    }

    fn query(&self, text: &str) -> Result<(Embedding, TokenVectors), EmbedError> {
        // Made here, where it can fail aloud, and not while a budget of time
        // for comparing runs.
        self.codec()?;
        let prefix = self.prefix(TextRole::Query);
        let mut read = self.run_all(&[text.to_owned()], |text| {
            self.tokenizer.encode_wanting(prefix, text, 0.0)
        })?;
        let read = read.pop().ok_or(EmbedError::Stopped)?;
        let weight = |&id: &u32| {
            let rarity = self.tokenizer.rarity(id);
            rarity.max(LEAST_WEIGHED).powi(RARITY_POWER)
        };
        let tokens = TokenVectors {
            dimension: self.identity.dimension,
            weights: read.ids.iter().map(weight).collect(),
            vectors: read.vectors,
        };
        Ok((read.whole, tokens))
    }

    fn scores(
        &self,
        query: &TokenVectors,
        passages: &[&TokenCodes],
        tongues: Tongues,
    ) -> Vec<Option<f32>> {
        let Ok(codec) = self.codec() else {
            return vec![None; passages.len()];
        };
        let prepared = codec.prepare(query, tongues);
        passages
            .par_iter()
            .map(|passage| prepared.score(&passage.0))
            .collect()
    }
}
