Feature: Answers
  EGOV-1: somebody asks about a service of the government in plain words.

  @method=POST @endpoint=/api/v1/answer @smoke @positive
  Scenario: An answer is JSON and quotes its sources
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "How much does a market stall licence cost?"}
      """
    Then the status is 200
    And the header "content-type" of the reply matches "^application/json"
    And "answered" of the body is "true"
    And "language" of the body is "en"
    And "citations.0.document" of the body is "licences/market-stall.md"
    And each citation quotes the document word by word
    And the reply is as the description says

  @method=POST @endpoint=/api/v1/answer @positive
  Scenario: Without a language model the answer says so
    Given a workspace "quiet"
    And the header "x-genie-workspace" is "{quiet}"
    And a document "fees.md" that says "A fishing permit costs 40 crowns a year."
    When PATCH "/api/v1/workspaces/{quiet}" is asked with JSON
      """
      {"settings": {"answers": "quoted"}}
      """
    Then the status is 200
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "What does a fishing permit cost?"}
      """
    Then the status is 200
    And "degraded" of the body is "true"
    And "model" of the body is "null"
    And "answer" of the body matches "40 crowns"

  @method=POST @endpoint=/api/v1/answer @positive
  Scenario: The language of the answer can be chosen
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "How much does a market stall licence cost?", "language": "fr"}
      """
    Then the status is 200
    And "language" of the body is "fr"

  @method=POST @endpoint=/api/v1/answer @positive
  Scenario: A workspace without documents does not make an answer up
    Given a workspace "empty"
    And the header "x-genie-workspace" is "{empty}"
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "How much does a market stall licence cost?"}
      """
    Then the status is 200
    And "answered" of the body is "false"
    And "citations" of the body has 0 entries

  @method=POST @endpoint=/api/v1/answer @positive
  Scenario: Where nothing is answered, a person is named who can be asked
    Given a workspace "desk"
    And the header "x-genie-workspace" is "{desk}"
    When PATCH "/api/v1/workspaces/{desk}" is asked with JSON
      """
      {"settings": {"contact": "helpdesk@example.org"}}
      """
    Then the status is 200
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "How much does a market stall licence cost?"}
      """
    Then the status is 200
    And "answered" of the body is "false"
    And "hand_over.reason" of the body is "not_answered"
    And "hand_over.contact" of the body is "helpdesk@example.org"
    And the reply is as the description says

  @method=POST @endpoint=/api/v1/answer @positive
  Scenario: What is quoted without a language model has no probability, and names nobody
    Given a workspace "ferries"
    And the header "x-genie-workspace" is "{ferries}"
    And a document "ferries.md" that says "The night ferry leaves the harbour at eleven."
    When PATCH "/api/v1/workspaces/{ferries}" is asked with JSON
      """
      {"settings": {"contact": "helpdesk@example.org"}}
      """
    Then the status is 200
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "When does the night ferry leave the harbour?"}
      """
    Then the status is 200
    And "answered" of the body is "true"
    And "confidence" of the body is "null"
    And "hand_over" of the body is "null"
    And the reply is as the description says

  @method=POST @endpoint=/api/v1/answer @positive
  Scenario: Events only for those who ask for them
    Given the header "accept" is "text/event-stream"
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "How much does a market stall licence cost?"}
      """
    Then the status is 200
    And the header "content-type" of the reply matches "^text/event-stream"
    And the events are, in this order
      | sources |
      | delta   |
      | done    |

  @method=POST @endpoint=/api/v1/answer @negative
  Scenario: All that is wrong is told at once
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "x", "language": "tlh", "top_k": 0, "max_tokens": 0}
      """
    Then the status is 400
    And it is an error "invalid_request" of TMF630
    And the error names the field "language"
    And the error names the field "top_k"
    And the error names the field "max_tokens"

  @method=POST @endpoint=/api/v1/answer @negative
  Scenario: An empty question has no answer
    When POST "/api/v1/answer" is asked with JSON
      """
      {"question": "   "}
      """
    Then the status is 400
    And the error names the field "question"
