//! What the service itself says, in the six languages.

use genie_core::{Language, Style};
use unicode_segmentation::UnicodeSegmentation;

/// Said when the documents don't cover a question.
pub(crate) const fn not_covered(language: Language) -> &'static str {
    match language {
        Language::Arabic => {
            "لا تتضمن الوثائق المتاحة إجابة عن هذا السؤال. ترد أدناه أقرب المقاطع إليه."
        }
        Language::Chinese => "现有文件没有涉及这个问题的答案。下面列出最相近的段落。",
        Language::English => {
            "The available documents do not cover this question. The nearest passages are listed below."
        }
        Language::French => {
            "Les documents disponibles ne répondent pas à cette question. Les passages les plus proches figurent ci-dessous."
        }
        Language::Russian => {
            "В имеющихся документах нет ответа на этот вопрос. Ниже приведены наиболее близкие фрагменты."
        }
        Language::Spanish => {
            "Los documentos disponibles no responden a esta pregunta. A continuación figuran los pasajes más cercanos."
        }
    }
}

/// Said when there is nothing at all to look at.
pub(crate) const fn nothing_indexed(language: Language) -> &'static str {
    match language {
        Language::Arabic => "لا توجد وثائق تتعلق بهذا السؤال.",
        Language::Chinese => "没有与这个问题有关的文件。",
        Language::English => "There are no documents on this question.",
        Language::French => "Aucun document ne porte sur cette question.",
        Language::Russian => "Документов по этому вопросу нет.",
        Language::Spanish => "No hay documentos sobre esta pregunta.",
    }
}

/// Stands before quoted passages when no language model is at hand.
pub(crate) const fn quoted_passages(language: Language) -> &'static str {
    match language {
        Language::Arabic => "لا يتوفر نموذج لغوي؛ هذه أقرب المقاطع في الوثائق:",
        Language::Chinese => "没有可用的语言模型；以下是文件中最相近的段落：",
        Language::English => {
            "No language model is available; these are the closest passages of the documents:"
        }
        Language::French => {
            "Aucun modèle de langue n'est disponible ; voici les passages les plus proches des documents :"
        }
        Language::Russian => {
            "Языковая модель недоступна; вот наиболее близкие фрагменты документов:"
        }
        Language::Spanish => {
            "No hay ningún modelo de lenguaje disponible; estos son los pasajes más cercanos de los documentos:"
        }
    }
}

/// The last line of the prompt. It is in English whatever the question's
/// language: asked in their own, the small models wrote little more than the
/// numbers of passages (`docs/benchmarks/answers.md`).
pub(crate) fn instruction(language: Language, style: Style) -> String {
    let language = language.english_name();
    let (form, each) = match style {
        Style::Usual => ("in one or two complete sentences", "sentence"),
        Style::Brief => ("in one short sentence", "sentence"),
        Style::List => ("as a list with one short point a line", "point"),
    };
    format!(
        "Answer the question in {language}, {form}, with every name, number and date that it asks \
         for. End each {each} with the number of its passage in brackets, like [1]."
    )
}

/// How an answer begins when the model has to be led into the language.
pub(crate) const fn opening(language: Language) -> &'static str {
    match language {
        Language::Arabic => "وفقًا للوثائق، ",
        Language::Chinese => "根据文件，",
        Language::English => "According to the documents, ",
        Language::French => "Selon les documents, ",
        Language::Russian => "Согласно документам, ",
        Language::Spanish => "Según los documentos, ",
    }
}

/// A document's own words as a sentence of an answer in their language.
pub(crate) fn document_says(language: Language, quote: &str) -> String {
    match language {
        Language::Arabic => format!("جاء في الوثيقة: «{quote}»"),
        Language::Chinese => format!("文件写道：“{quote}”"),
        Language::English => format!("The document says: “{quote}”"),
        Language::French => format!("Le document dit : « {quote} »"),
        Language::Russian => format!("В документе сказано: «{quote}»"),
        Language::Spanish => format!("El documento dice: «{quote}»"),
    }
}

/// A question about what a section of a document says.
pub(crate) fn about(language: Language, title: &str, heading: &str) -> String {
    match language {
        Language::Arabic => format!("ماذا تقول وثيقة «{title}» عن «{heading}»؟"),
        Language::Chinese => format!("《{title}》对“{heading}”是怎么说的？"),
        Language::English => format!("What does “{title}” say about “{heading}”?"),
        Language::French => format!("Que dit « {title} » de « {heading} » ?"),
        Language::Russian => format!("Что говорится в документе «{title}» о теме «{heading}»?"),
        Language::Spanish => format!("¿Qué dice «{title}» sobre «{heading}»?"),
    }
}

/// Whether a question begins by asking for something else than yes or no:
/// with an interrogative, or one behind a preposition. Words that also join
/// clauses ("que", "что", "من") are left out, and so is Chinese, which does not
/// put them first: where this can't tell, it says no.
pub(crate) fn asks_for_more(question: &str, language: Language) -> bool {
    let interrogatives: &[&str] = match language {
        Language::Arabic => &[
            "ما",
            "ماذا",
            "متى",
            "أين",
            "كم",
            "كيف",
            "أي",
            "بأي",
            "لماذا",
        ],
        Language::Chinese => &[],
        Language::English => &[
            "what", "which", "who", "whom", "whose", "when", "where", "why", "how",
        ],
        Language::French => &[
            "quel", "quelle", "quels", "quelles", "quoi", "qui", "quand", "où", "comment",
            "combien", "pourquoi", "lequel", "laquelle",
        ],
        Language::Russian => &[
            "какой",
            "какая",
            "какое",
            "какие",
            "каком",
            "какую",
            "каких",
            "кто",
            "когда",
            "где",
            "сколько",
            "почему",
            "куда",
        ],
        Language::Spanish => &[
            "qué", "cuál", "cuáles", "quién", "quiénes", "cuándo", "dónde", "cómo", "cuánto",
            "cuánta", "cuántos", "cuántas",
        ],
    };
    question
        .unicode_words()
        .take(2)
        .any(|word| interrogatives.contains(&&*word.to_lowercase()))
}
