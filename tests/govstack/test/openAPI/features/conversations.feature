Feature: Conversations
  EGOV-1: history is kept, answers are judged, and a person's data can be taken out and erased.

  @method=POST @endpoint=/api/v1/conversations/{id}/messages @smoke @positive
  Scenario: A conversation is kept, judged, exported and erased
    Given a workspace "desk"
    And the header "x-genie-workspace" is "{desk}"
    And a document "fees.md" that says "A fishing permit costs 40 crowns a year."
    And a key "person" of the role reader in "{desk}"
    And the key "{person}"
    When POST "/api/v1/conversations" is asked with JSON
      """
      {"title": "Fishing"}
      """
    Then the status is 201
    And the reply is as the description says
    And "id" of the body is kept as "conversation"
    When POST "/api/v1/conversations/{conversation}/messages" is asked with JSON
      """
      {"question": "What does a fishing permit cost?"}
      """
    Then the status is 201
    And the reply is as the description says
    And "answer.answer.citations.0.quote" of the body matches "40 crowns"
    And "answer.id" of the body is kept as "message"
    When GET "/api/v1/conversations/{conversation}/messages" is asked
    Then the status is 200
    And "count" of the body is "2"
    And the reply is as the description says
    When PUT "/api/v1/messages/{message}/feedback" is asked with JSON
      """
      {"rating": 2, "comment": "It is 45 now.", "wrong_citation": 1}
      """
    Then the status is 200
    When GET "/api/v1/me/data" is asked
    Then the status is 200
    And "conversations" of the body has 1 entries
    And "feedback" of the body has 1 entries
    And the reply is as the description says
    When DELETE "/api/v1/me/data" is asked
    Then the status is 200
    When GET "/api/v1/conversations" is asked
    Then the status is 200
    And "count" of the body is "0"

  @method=POST @endpoint=/api/v1/conversations/{id}/messages @positive
  Scenario: An answer is told sentence by sentence, with what it cites
    Given a workspace "desk"
    And the header "x-genie-workspace" is "{desk}"
    And a document "fees.md" that says "A fishing permit costs 40 crowns a year."
    When POST "/api/v1/conversations" is asked with JSON
      """
      {}
      """
    Then the status is 201
    And "id" of the body is kept as "conversation"
    Given the header "accept" is "text/event-stream"
    When POST "/api/v1/conversations/{conversation}/messages" is asked with JSON
      """
      {"question": "What does a fishing permit cost?"}
      """
    Then the status is 200
    And the events are, in this order
      | sources   |
      | delta     |
      | sentence  |
      | citations |
      | done      |
    Given the header "accept" is "application/json"
    When GET "/api/v1/conversations/{conversation}" is asked
    Then the status is 200
    And "messages" of the body is "2"
    And "title" of the body is "What does a fishing permit cost?"

  @method=GET @endpoint=/api/v1/conversations/{id} @negative
  Scenario: Nobody reads somebody else's conversation
    Given a workspace "desk"
    And the header "x-genie-workspace" is "{desk}"
    And a key "one" of the role reader in "{desk}"
    And a key "other" of the role owner in "{desk}"
    And the key "{one}"
    When POST "/api/v1/conversations" is asked with JSON
      """
      {"title": "Mine"}
      """
    Then the status is 201
    And "id" of the body is kept as "conversation"
    Given the key "{other}"
    When GET "/api/v1/conversations/{conversation}" is asked
    Then the status is 404
