//! OpenAI's routes beyond chat completions: responses, files, vector stores.

use super::declare::{Doc, Route};
use crate::access::{Need, Permission};
use crate::openai;

const JSON_OR_EVENTS: &[&str] = &["application/json", "text/event-stream"];
const FORM: &[&str] = &["multipart/form-data"];

/// The list.
pub(super) fn routes() -> Vec<Route> {
    let mut all = responses();
    all.extend(files());
    all.extend(vector_stores());
    all
}

fn responses() -> Vec<Route> {
    let answer = Need::May(Permission::Answer);
    vec![
        Route::post(
            "/v1/responses",
            answer,
            openai::create_response,
            Doc::new("Answers the input; question and answer are kept unless `store` is false.")
                .takes::<openai::ResponsesRequest>()
                .gives_values(200, JSON_OR_EVENTS),
        ),
        Route::get(
            "/v1/responses/{id}",
            answer,
            openai::response,
            Doc::new("A stored response.")
                .asks::<openai::ShowQuery>()
                .gives_value(200),
        ),
        Route::delete(
            "/v1/responses/{id}",
            answer,
            openai::delete_response,
            Doc::new("Erases a stored response with its question.").gives_value(200),
        ),
        Route::get(
            "/v1/responses/{id}/input_items",
            answer,
            openai::input_items,
            Doc::new("The question of a stored response.").gives_value(200),
        ),
    ]
}

fn files() -> Vec<Route> {
    let read = Need::May(Permission::ReadDocuments);
    let write = Need::May(Permission::WriteDocuments);
    vec![
        Route::get(
            "/v1/files",
            read,
            openai::files,
            Doc::new("The documents as files.")
                .asks::<openai::ListQuery>()
                .gives_value(200),
        ),
        Route::post(
            "/v1/files",
            write,
            openai::upload,
            Doc::new("Indexes a file.")
                .takes_as::<openai::FileForm>(FORM)
                .gives_value(200),
        ),
        Route::get(
            "/v1/files/{id}",
            read,
            openai::file,
            Doc::new("A document as a file.").gives_value(200),
        ),
        Route::get(
            "/v1/files/{id}/content",
            read,
            openai::file_content,
            Doc::new("A file as it was sent, or the text that the index holds of it.")
                .gives_plain(200, super::content::ANY),
        ),
        Route::delete(
            "/v1/files/{id}",
            write,
            openai::delete_file,
            Doc::new("Removes a document with all that was made of it.").gives_value(200),
        ),
    ]
}

fn vector_stores() -> Vec<Route> {
    let read = Need::May(Permission::ReadDocuments);
    let write = Need::May(Permission::WriteDocuments);
    // Told to those who would be the ones to ask.
    let manage = Need::May(Permission::Manage);
    vec![
        Route::get(
            "/v1/vector_stores",
            read,
            openai::vector_stores,
            Doc::new("The workspace as the one vector store.")
                .asks::<openai::ListQuery>()
                .gives_value(200),
        ),
        Route::post(
            "/v1/vector_stores",
            manage,
            openai::no_new_store,
            Doc::new("Refused: a workspace is the vector store.").gives_value(400),
        ),
        Route::get(
            "/v1/vector_stores/{id}",
            read,
            openai::vector_store,
            Doc::new("A workspace as a vector store.").gives_value(200),
        ),
        Route::post(
            "/v1/vector_stores/{id}",
            manage,
            openai::no_such_change,
            Doc::new("Refused: a workspace is the vector store.").gives_value(400),
        ),
        Route::delete(
            "/v1/vector_stores/{id}",
            manage,
            openai::no_such_change,
            Doc::new("Refused: a workspace is the vector store.").gives_value(400),
        ),
        Route::post(
            "/v1/vector_stores/{id}/search",
            Need::May(Permission::Search),
            openai::search_store,
            Doc::new("Finds passages.")
                .takes::<openai::StoreSearch>()
                .gives_value(200),
        ),
        Route::get(
            "/v1/vector_stores/{id}/files",
            read,
            openai::store_files,
            Doc::new("The files of a vector store.")
                .asks::<openai::ListQuery>()
                .gives_value(200),
        ),
        Route::post(
            "/v1/vector_stores/{id}/files",
            write,
            openai::attach,
            Doc::new("A file of the workspace, which is in its store already.")
                .takes::<openai::AttachRequest>()
                .gives_value(200),
        ),
        Route::get(
            "/v1/vector_stores/{id}/files/{file}",
            read,
            openai::store_file,
            Doc::new("A file of a vector store.").gives_value(200),
        ),
        Route::get(
            "/v1/vector_stores/{id}/files/{file}/content",
            read,
            openai::store_file_content,
            Doc::new("The text that the index holds of a file.").gives_value(200),
        ),
        Route::delete(
            "/v1/vector_stores/{id}/files/{file}",
            write,
            openai::detach,
            Doc::new("Removes a document with all that was made of it.").gives_value(200),
        ),
    ]
}
