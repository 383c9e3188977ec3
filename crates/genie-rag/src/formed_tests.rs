use std::ops::ControlFlow;

use genie_core::Span;
use genie_testkit::FakeGenerate;

use super::*;

const ANSWER: &str = "The exchange of Łódź opened in 2019 [1]. It connects 42 networks [2].";
const SCHEMA: &str = r#"{"type": "object"}"#;

fn citation(number: usize, quote: &str) -> Citation {
    Citation {
        number,
        document: "a.md".to_owned(),
        title: "A".to_owned(),
        page: None,
        section: String::new(),
        span: Span::new(0, quote.chars().count()).expect("a span"),
        quote: quote.to_owned(),
    }
}

fn citations() -> Vec<Citation> {
    vec![
        citation(
            1,
            "Opened in 2019, the Łódź exchange is run by its members.",
        ),
        citation(
            2,
            "Forty-two networks are connected; a fee of 1,200 euros is due.",
        ),
    ]
}

fn formed(form: &Constraint, written: &str) -> Formed {
    let model = FakeGenerate::new().answering(written);
    let question = Question::new("How many networks does the exchange in Poland connect?");
    let citations = citations();
    let forming = Forming {
        question: &question,
        form,
        answer: ANSWER,
        citations: &citations,
        generate: &model,
        max_tokens: 50,
    };
    let (formed, _) = forming
        .write(&mut |_| ControlFlow::Continue(()))
        .expect("written");
    let request = model.seen().remove(0);
    assert_eq!(request.constraint.as_ref(), Some(form));
    let told = &request.messages[1].content;
    assert!(
        told.contains(ANSWER) && told.contains("Forty-two"),
        "{told}"
    );
    formed
}

fn support(written: &str) -> Vec<(String, ValueSupport)> {
    let form = Constraint::JsonSchema(SCHEMA.to_owned());
    formed(&form, written)
        .values
        .into_iter()
        .map(|value| (value.path, value.support))
        .collect()
}

#[test]
fn what_stands_before_each_number_is_a_value() {
    let form = Constraint::Citing(vec!["1".to_owned(), "2".to_owned()]);
    let support = |written: &str| -> Vec<(String, ValueSupport)> {
        let values = formed(&form, written).values.into_iter();
        values.map(|value| (value.path, value.support)).collect()
    };
    let opened = "The exchange of Łódź opened in 2019";
    for (written, expected) in [
        (
            format!("{opened} [1]. It has 17 members [2]."),
            vec![ValueSupport::Cited(1), ValueSupport::Missing],
        ),
        // The other quote does not say it.
        (format!("{opened} [2]."), vec![ValueSupport::Missing]),
        // Without a number, and with one that was cut.
        (opened.to_owned(), vec![ValueSupport::Cited(1)]),
        (format!("{opened} [1"), vec![ValueSupport::Cited(1)]),
    ] {
        let paths = (0..).map(|index| format!("/{index}"));
        let expected: Vec<_> = paths.zip(expected).collect();
        assert_eq!(support(&written), expected, "{written}");
    }
}

#[test]
fn only_quotes_that_there_are_can_be_cited() {
    let ids = |ids: &[&str]| Constraint::Citing(ids.iter().map(|id| (*id).to_owned()).collect());
    for (asked, given) in [(ids(&["2", "9"]), ids(&["2"])), (ids(&["x"]), ids(&[]))] {
        let model = FakeGenerate::new().answering("It opened in 2019.");
        let question = Question::new("When did it open?");
        let citations = citations();
        let forming = Forming {
            question: &question,
            form: &asked,
            answer: ANSWER,
            citations: &citations,
            generate: &model,
            max_tokens: 50,
        };
        forming
            .write(&mut |_| ControlFlow::Continue(()))
            .expect("written");
        assert_eq!(model.seen()[0].constraint.as_ref(), Some(&given));
    }
}

#[test]
fn each_value_is_told_where_it_stands() {
    let found = support(
        r#"{"place": "Lodz", "opened": 2019, "networks": 42, "fee": 1200, "country": "Poland",
        "owner": "the state", "open": true, "members": ["its members", "42 cables"], "a/b": 7,
        "none": null, "empty": ""}"#,
    );
    let expected = [
        // The stroke of Ł is no diacritic that folding takes away.
        ("/place", ValueSupport::Missing),
        ("/opened", ValueSupport::Cited(1)),
        ("/networks", ValueSupport::Cited(2)),
        ("/fee", ValueSupport::Cited(2)),
        ("/country", ValueSupport::Asked),
        ("/owner", ValueSupport::Missing),
        ("/open", ValueSupport::Judged),
        ("/members/0", ValueSupport::Cited(1)),
        ("/members/1", ValueSupport::Missing),
        ("/a~1b", ValueSupport::Missing),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(path, support)| (path.to_owned(), support))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn parts_of_words_and_of_figures_are_not_the_same() {
    for written in [
        r#"{"a": "net"}"#,
        r#"{"a": 4}"#,
        r#"{"a": 20190}"#,
        r#"{"a": "..."}"#,
    ] {
        assert_eq!(support(written)[0].1, ValueSupport::Missing, "{written}");
    }
    assert_eq!(
        support(r#"{"a": "It connects 42 networks."}"#)[0].1,
        ValueSupport::Cited(2)
    );
}

#[test]
fn a_text_that_is_no_json_is_one_value() {
    let form = Constraint::OneOf(vec!["42 networks".to_owned(), "no".to_owned()]);
    let found = formed(&form, "42 networks");
    assert!(found.complete);
    assert_eq!(found.values.len(), 1);
    assert_eq!(found.values[0].support, ValueSupport::Cited(2));
    let cut = formed(&Constraint::JsonObject, r#"{"a": "It conn"#);
    assert_eq!(cut.values[0].support, ValueSupport::Missing);
}

#[test]
fn whoever_leaves_gets_nothing() {
    let model = FakeGenerate::new().answering("{} {} {}");
    let question = Question::new("?");
    let forming = Forming {
        question: &question,
        form: &Constraint::JsonObject,
        answer: ANSWER,
        citations: &[],
        generate: &model,
        max_tokens: 50,
    };
    let left = forming.write(&mut |_| ControlFlow::Break(()));
    assert!(matches!(left, Err(RagError::Cancelled)));
}
