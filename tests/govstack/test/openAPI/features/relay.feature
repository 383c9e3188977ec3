@relay
Feature: Through a security server
  It reads messages whole, drops what belongs to one connection, replaces Host and names the sender.

  @method=POST @endpoint=/api/v1/answer @smoke @positive
  Scenario: An answer comes through as JSON
    Given the header "x-road-id" is "EE-{run}"
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "How much does a market stall licence cost?"}
      """
    Then the status is 200
    And "answered" of the body is "true"
    And each citation quotes the document word by word
    And the reply is as the description says
    And the service was told of the sender
    And the service set no header of X-Road
    And the header "x-correlation-id" of the reply is "EE-{run}"

  @method=POST @endpoint=/api/v1/answer @positive
  Scenario: The caller's correlation id goes before the message's id
    Given the header "x-road-id" is "EE-{run}"
    And the header "x-correlation-id" is "case-{run}"
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "Who issues a market stall licence?"}
      """
    Then the status is 200
    And the header "x-correlation-id" of the reply is "case-{run}"
    And the header "x-road-id" of the reply is "EE-{run}"

  @method=POST @endpoint=/api/v1/search @positive
  Scenario: A chunked request arrives in one piece
    When POST "/api/v1/search" is asked in chunks with JSON
      """
      {"query": "How much does a market stall licence cost?"}
      """
    Then the status is 200
    And "passages.0.document" of the body is "licences/market-stall.md"
    And the service was sent no "transfer-encoding"

  @method=POST @endpoint=/api/v1/answer @positive
  Scenario: Events are read whole too
    Given the header "accept" is "text/event-stream"
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "How much does a market stall licence cost?"}
      """
    Then the status is 200
    And the events are, in this order
      | sources |
      | done    |

  @method=POST @endpoint=/api/v1/documents @positive
  Scenario: A document is added for the sender, and the trail says why
    Given a workspace "remote"
    And the header "x-genie-workspace" is "{remote}"
    And the header "x-road-id" is "EE-{run}"
    And a document "ferry.md" that says "The last ferry leaves at ten."
    When GET "/api/v1/audit?pageSize=1" is asked
    Then the status is 200
    And "results.0.correlation" of the body is "EE-{run}"
    And "results.0.intent" of the body is "case-2026-17"

  @method=POST @endpoint=/api/v1/search @negative
  Scenario: Errors keep their shape
    When POST "/api/v1/search" is asked with JSON
      """
      {"query": ""}
      """
    Then the status is 400
    And it is an error "invalid_request" of TMF630
    And the error names the field "query"
    And the service set no header of X-Road

  @method=GET @endpoint=/api/v1/me @negative
  Scenario: Being named by a security server is no permission
    Given the key "gk_0000000000000000000000000000000000000000000"
    And the header "x-road-userid" is "EE12345678901"
    When GET "/api/v1/me" is asked
    Then the status is 401
    And it is an error "unauthorized" of TMF630

  @method=POST @endpoint=/api/v1/conversations/{id}/messages @positive
  Scenario: A conversation is held as JSON
    Given a workspace "afar"
    And the header "x-genie-workspace" is "{afar}"
    And a document "ferry.md" that says "The last ferry to the island leaves at ten in the evening."
    When POST "/api/v1/conversations" is asked with JSON
      """
      {"title": "Ferries"}
      """
    Then the status is 201
    And "id" of the body is kept as "conversation"
    When POST "/api/v1/conversations/{conversation}/messages" is asked with JSON
      """
      {"question": "When does the last ferry to the island leave?"}
      """
    Then the status is 201
    And "answer.answer.citations.0.quote" of the body matches "ten in the evening"
    And the reply is as the description says
    And the service was told of the sender
    And the service set no header of X-Road

  @method=POST @endpoint=/v1/chat/completions @positive
  Scenario: A chat completion comes through as JSON
    When POST "/v1/chat/completions" is asked with JSON
      """
      {"model": "genie", "messages": [{"role": "user", "content": "How much does a market stall licence cost?"}]}
      """
    Then the status is 200
    And "choices.0.message.role" of the body is "assistant"
    And "citations.0.document" of the body is "licences/market-stall.md"
    And the service set no header of X-Road

  @method=POST @endpoint=/api/v1/answer @positive
  Scenario: Who does not wait asks for a job
    Given the header "prefer" is "respond-async"
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "Who issues a market stall licence?"}
      """
    Then the status is 202
    And "id" of the body is kept as "answer"
    When GET "/api/v1/answers/{answer}" is asked
    Then the status is 200
    And "kind" of the body is "answer"
    And the service set no header of X-Road
