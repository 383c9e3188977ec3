//! Conversations, messages and what is said of them.

crate::both!(
    an_exchange_is_kept_in_order,
    the_conversation_of_another_is_not_there,
    the_last_change_comes_first,
    an_exchange_that_is_cut_off_leaves_nothing,
    exchanges_at_once_keep_their_order,
    an_exchange_is_found_by_its_answer_and_deleted_with_it,
    an_opinion_of_an_answer_replaces_the_one_before,
);

mod cases {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll};

    use genie_state::{
        Author, Conversation, NewConversation, NewFeedback, NewMessage, Owner, StateError,
    };

    use crate::place::{Place, page, subject, whole};

    async fn owner(place: &Place, workspace: &str, name: &str) -> Owner {
        let workspace = match place
            .state
            .workspace(&workspace.parse().expect("a name"))
            .await
        {
            Ok(Some(found)) => found.id,
            _ => place.workspace(workspace).await,
        };
        Owner {
            workspace,
            subject: subject(name),
        }
    }

    async fn begin(place: &Place, owner: &Owner, title: &str) -> Conversation {
        let new = NewConversation {
            owner: owner.clone(),
            title: title.to_owned(),
        };
        place.state.create_conversation(new).await.expect(title)
    }

    fn says(text: &str) -> NewMessage {
        NewMessage {
            text: text.to_owned(),
            language: Some("en".to_owned()),
            answer: None,
        }
    }

    pub(crate) async fn an_exchange_is_kept_in_order(place: Place) {
        let state = &place.state;
        let ana = owner(&place, "health", "ana").await;
        let conversation = begin(&place, &ana, "Vaccines").await;
        for n in 0..3 {
            let answer = NewMessage {
                answer: Some(format!("{{\"n\":{n}}}")),
                ..says(&format!("answer {n} – ответ 答案"))
            };
            let question = says(&format!("question {n}"));
            let added = state
                .add_exchange(&ana, &conversation.id, question, answer)
                .await;
            let (question, answer) = added.expect("written").expect("there");
            assert_eq!(
                (question.author, answer.author),
                (Author::Person, Author::Assistant)
            );
        }
        let all = state.messages(&ana, &conversation.id, whole()).await;
        let all = all.expect("read").expect("there");
        let texts: Vec<_> = all.results.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(all.count, 6);
        assert_eq!(
            texts,
            [
                "question 0",
                "answer 0 – ответ 答案",
                "question 1",
                "answer 1 – ответ 答案",
                "question 2",
                "answer 2 – ответ 答案",
            ]
        );
        assert_eq!(all.results[3].answer.as_deref(), Some("{\"n\":1}"));
        let second = state.messages(&ana, &conversation.id, page(2, 4)).await;
        assert_eq!(
            second.expect("read").expect("there").results,
            all.results[4..]
        );
        let last = state.last_messages(&ana, &conversation.id, 3).await;
        assert_eq!(last.expect("read").expect("there"), all.results[3..]);
        let now = state.conversation(&ana, &conversation.id).await;
        let now = now.expect("read").expect("there");
        assert_eq!(now.messages, 6);
        assert!(now.changed > conversation.changed);
    }

    pub(crate) async fn the_conversation_of_another_is_not_there(place: Place) {
        let state = &place.state;
        let ana = owner(&place, "health", "ana").await;
        let others = [
            owner(&place, "health", "bo").await,
            owner(&place, "roads", "ana").await,
        ];
        let conversation = begin(&place, &ana, "Vaccines").await;
        let id = conversation.id;
        let added = state.add_exchange(&ana, &id, says("q"), says("a")).await;
        let (_, answer) = added.expect("written").expect("there");
        for other in &others {
            assert_eq!(state.conversation(other, &id).await.expect("read"), None);
            assert_eq!(
                state
                    .conversations(other, whole())
                    .await
                    .expect("read")
                    .count,
                0
            );
            let renamed = state.rename_conversation(other, &id, "mine").await;
            assert_eq!(renamed.expect("read"), None);
            assert!(!state.delete_conversation(other, &id).await.expect("read"));
            let added = state.add_exchange(other, &id, says("q"), says("a")).await;
            assert_eq!(added.expect("read"), None);
            assert_eq!(
                state.messages(other, &id, whole()).await.expect("read"),
                None
            );
            assert_eq!(
                state.last_messages(other, &id, 9).await.expect("read"),
                None
            );
            let said = state.give_feedback(other, &answer.id, NewFeedback::default());
            assert_eq!(said.await.expect("read"), None);
        }
        let still = state.conversation(&ana, &id).await.expect("read");
        let still = still.expect("there");
        assert_eq!((still.title.as_str(), still.messages), ("Vaccines", 2));
        assert!(state.delete_conversation(&ana, &id).await.expect("deleted"));
        assert!(!state.delete_conversation(&ana, &id).await.expect("nothing"));
        assert_eq!(
            place.number_by_hand("SELECT COUNT(*) FROM messages").await,
            0
        );
        let nowhere = Owner {
            workspace: "nowhere".parse().expect("a name"),
            ..ana
        };
        let new = NewConversation {
            owner: nowhere,
            title: String::new(),
        };
        assert!(matches!(
            state.create_conversation(new).await,
            Err(StateError::NotFound)
        ));
    }

    pub(crate) async fn an_exchange_is_found_by_its_answer_and_deleted_with_it(place: Place) {
        let state = &place.state;
        let ana = owner(&place, "health", "ana").await;
        let id = begin(&place, &ana, "Vaccines").await.id;
        let mut answers = Vec::new();
        for n in 0..3 {
            let told = genie_state::MessageId::random();
            let answer = (told, says(&format!("answer {n}")));
            let added = state.add_exchange_as(&ana, &id, says(&format!("question {n}")), answer);
            let (_, answer) = added.await.expect("written").expect("there");
            assert_eq!(answer.id, told);
            answers.push(answer.id);
        }
        let second = state.exchange(&ana, &answers[1]).await.expect("read");
        let second = second.expect("there");
        assert_eq!(second.question.text, "question 1");
        assert_eq!(second.answer.text, "answer 1");
        // A question ends no exchange.
        let asked = state.exchange(&ana, &second.question.id).await;
        assert_eq!(asked.expect("read"), None);
        for other in [
            owner(&place, "health", "bo").await,
            owner(&place, "roads", "ana").await,
        ] {
            let found = state.exchange(&other, &answers[1]).await;
            assert_eq!(found.expect("read"), None);
            let deleted = state.delete_exchange(&other, &answers[1]).await;
            assert!(!deleted.expect("read"));
        }

        let deleted = state.delete_exchange(&ana, &answers[1]).await;
        assert!(deleted.expect("deleted"));
        let deleted = state.delete_exchange(&ana, &answers[1]).await;
        assert!(!deleted.expect("nothing"));
        // What comes later has its place behind the others.
        let added = state.add_exchange(&ana, &id, says("question 3"), says("answer 3"));
        let (_, last) = added.await.expect("written").expect("there");
        let all = state.messages(&ana, &id, whole()).await.expect("read");
        let all = all.expect("there");
        let texts: Vec<_> = all.results.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(all.count, 6);
        assert_eq!(
            texts,
            [
                "question 0",
                "answer 0",
                "question 2",
                "answer 2",
                "question 3",
                "answer 3"
            ]
        );
        for answer in [answers[0], answers[2], last.id] {
            assert!(state.delete_exchange(&ana, &answer).await.expect("deleted"));
        }
        assert_eq!(state.conversation(&ana, &id).await.expect("read"), None);
    }

    pub(crate) async fn the_last_change_comes_first(place: Place) {
        let state = &place.state;
        let ana = owner(&place, "health", "ana").await;
        let first = begin(&place, &ana, "first").await;
        begin(&place, &ana, "second").await;
        begin(&place, &ana, "third").await;
        let titles = async || {
            let list = state.conversations(&ana, whole()).await.expect("a list");
            let titles: Vec<_> = list.results.into_iter().map(|c| c.title).collect();
            titles.join(" ")
        };
        assert_eq!(titles().await, "third second first");
        let renamed = state.rename_conversation(&ana, &first.id, "again").await;
        assert_eq!(renamed.expect("written").expect("there").title, "again");
        assert_eq!(titles().await, "again third second");
    }

    /// Drops what it waits for after so many polls.
    struct Cut<'f, T> {
        future: Pin<&'f mut dyn Future<Output = T>>,
        polls: usize,
    }

    impl<T> Future for Cut<'_, T> {
        type Output = Option<T>;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
            if self.polls == 0 {
                return Poll::Ready(None);
            }
            self.polls -= 1;
            let left = self.polls;
            match self.future.as_mut().poll(context) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        }
    }

    pub(crate) async fn an_exchange_that_is_cut_off_leaves_nothing(place: Place) {
        let state = &place.state;
        let ana = owner(&place, "health", "ana").await;
        let id = begin(&place, &ana, "Vaccines").await.id;
        let (mut cut, mut whole_ones) = (0, 0);
        let (mut polls, mut at_once) = (1, 0);
        loop {
            let done = {
                let add = pin!(state.add_exchange(&ana, &id, says("q"), says("a")));
                Cut { future: add, polls }.await
            };
            let messages = place.number_by_hand("SELECT COUNT(*) FROM messages").await;
            let differ = "SELECT (SELECT COUNT(*) FROM messages) - \
                          (SELECT messages FROM conversations)";
            // A cut after the commit was sent may leave a whole exchange.
            assert_eq!(messages % 2, 0, "after {polls} polls");
            assert_eq!(place.number_by_hand(differ).await, 0, "after {polls} polls");
            if let Some(added) = done {
                added.expect("written").expect("there");
                assert!(messages > whole_ones);
                // On a busy machine a database may have answered before
                // anybody looks, so that there is nothing to cut off.
                if cut > 0 || at_once == 50 {
                    break;
                }
                at_once += 1;
                polls = 1;
            } else {
                cut += 1;
                polls += 1;
            }
            whole_ones = messages;
        }
        // How many there are depends on how quickly the database answers.
        assert!(cut > 0, "it was never cut off");
    }

    pub(crate) async fn exchanges_at_once_keep_their_order(place: Place) {
        let ana = owner(&place, "health", "ana").await;
        let id = begin(&place, &ana, "Vaccines").await.id;
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (state, ana) = (place.state.clone(), ana.clone());
                tokio::spawn(async move {
                    for n in 0..5 {
                        let text = format!("{task} {n}");
                        let added = state
                            .add_exchange(&ana, &id, says(&text), says(&text))
                            .await;
                        added.expect("written").expect("there");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a task");
        }
        let all = place.state.messages(&ana, &id, whole()).await;
        let all = all.expect("read").expect("there").results;
        assert_eq!(all.len(), 80);
        for pair in all.chunks(2) {
            assert_eq!(pair[0].text, pair[1].text);
            assert_eq!(pair[0].author, Author::Person);
        }
    }

    pub(crate) async fn an_opinion_of_an_answer_replaces_the_one_before(place: Place) {
        let state = &place.state;
        let ana = owner(&place, "health", "ana").await;
        let id = begin(&place, &ana, "Vaccines").await.id;
        let added = state.add_exchange(&ana, &id, says("q"), says("a")).await;
        let (question, answer) = added.expect("written").expect("there");
        let good = NewFeedback {
            rating: Some(5),
            comment: Some("good".to_owned()),
            wrong_citation: None,
        };
        let bad = NewFeedback {
            rating: None,
            comment: None,
            wrong_citation: Some(2),
        };
        let none = state.give_feedback(&ana, &question.id, good.clone()).await;
        assert_eq!(none.expect("read"), None, "a question is no answer");
        state
            .give_feedback(&ana, &answer.id, good)
            .await
            .expect("ok")
            .expect("there");
        state
            .give_feedback(&ana, &answer.id, bad)
            .await
            .expect("ok")
            .expect("there");
        let list = state
            .feedback(&ana.workspace, whole())
            .await
            .expect("a list");
        assert_eq!(list.count, 1);
        let only = &list.results[0];
        assert_eq!(
            (only.rating, &only.comment, only.wrong_citation),
            (None, &None, Some(2))
        );
        assert_eq!((only.message, &only.subject), (answer.id, &ana.subject));
        for rating in [0, 6, -1] {
            let wrong = NewFeedback {
                rating: Some(rating),
                ..NewFeedback::default()
            };
            assert!(matches!(
                state.give_feedback(&ana, &answer.id, wrong).await,
                Err(StateError::Invalid(_))
            ));
        }
    }
}
