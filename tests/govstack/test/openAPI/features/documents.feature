Feature: Documents
  What is answered from is managed through the interface alone.

  Background:
    Given a workspace "library"
    And the header "x-genie-workspace" is "{library}"

  @method=POST @endpoint=/api/v1/documents @smoke @positive
  Scenario: A document is added, read, found and removed
    When POST "/api/v1/documents" is asked with JSON
      """
      {"uri": "permits/canoe.md", "text": "# Canoe permit\n\nA canoe permit is valid for one summer."}
      """
    Then the status is 201
    And "status" of the body is "indexed"
    And "id" of the body matches "^[0-9a-f]{64}$"
    And the reply is as the description says
    And "id" of the body is kept as "document"
    When GET "/api/v1/documents/{document}" is asked
    Then the status is 200
    And "uri" of the body is "permits/canoe.md"
    And "title" of the body is "Canoe permit"
    And the reply is as the description says
    When POST "/api/v1/search" is asked with JSON
      """
      {"query": "How long is a canoe permit valid?"}
      """
    Then the status is 200
    And "passages.0.document" of the body is "permits/canoe.md"
    When DELETE "/api/v1/documents/{document}" is asked
    Then the status is 204
    When GET "/api/v1/documents/{document}" is asked
    Then the status is 404
    When POST "/api/v1/search" is asked with JSON
      """
      {"query": "How long is a canoe permit valid?"}
      """
    Then the status is 200
    And "passages" of the body has 0 entries

  @method=POST @endpoint=/api/v1/documents @positive
  Scenario: The same document again changes nothing
    Given a document "permits/canoe.md" that says "A canoe permit is valid for one summer."
    When POST "/api/v1/documents" is asked with JSON
      """
      {"uri": "permits/canoe.md", "text": "A canoe permit is valid for one summer."}
      """
    Then the status is 200
    And "status" of the body is "unchanged"

  @method=POST @endpoint=/api/v1/documents @positive
  Scenario: A new version takes the place of the old one
    Given a document "permits/canoe.md" that says "A canoe permit is valid for one summer."
    When POST "/api/v1/documents" is asked with JSON
      """
      {"uri": "permits/canoe.md", "text": "A canoe permit is valid for two summers."}
      """
    Then the status is 200
    And "status" of the body is "replaced"
    When GET "/api/v1/documents" is asked
    Then the status is 200
    And "count" of the body is "1"

  @method=POST @endpoint=/api/v1/documents @positive
  Scenario: A file is sent as a form
    When a file "sauna.txt" that says "Saunas are inspected once a year." is sent as a form
    Then the status is 201
    And "uri" of the body is "sauna.txt"

  @method=POST @endpoint=/api/v1/documents @positive
  Scenario: Who can't wait gets a job
    Given the header "prefer" is "respond-async"
    When POST "/api/v1/documents" is asked with JSON
      """
      {"uri": "permits/bees.md", "text": "Beehives are registered by the end of March."}
      """
    Then the status is 202
    And the reply is as the description says
    When the job is over
    Then "state" of the body is "done"
    And the reply is as the description says
    When GET "/api/v1/documents" is asked
    Then one of "results" has "uri" "permits/bees.md"

  @method=POST @endpoint=/api/v1/documents @negative
  Scenario: What is no document is refused with the reason
    When POST "/api/v1/documents?uri=broken.pdf" is asked with "%PDF-1.7 nothing" of the type "application/pdf"
    Then the status is 422
    And it is an error "unreadable_document" of TMF630

  @method=POST @endpoint=/api/v1/documents @negative
  Scenario: A document needs a label
    When POST "/api/v1/documents" is asked with "Nameless." of the type "text/plain"
    Then the status is 422
    And the error names the field "uri"

  @method=GET @endpoint=/api/v1/documents/{id} @negative
  Scenario Outline: Unknown documents are not there
    When GET "/api/v1/documents/<id>" is asked
    Then the status is 404
    And it is an error "document_not_found" of TMF630

    Examples:
      | id                                                               |
      | 0000000000000000000000000000000000000000000000000000000000000000 |
      | nonsense                                                         |

  @method=POST @endpoint=/api/v1/removed-documents/{id}/restore @positive
  Scenario: A document that was removed for some days is listed and comes back
    Given a workspace "archive"
    And the header "x-genie-workspace" is "{archive}"
    When POST "/api/v1/documents" is asked with JSON
      """
      {"uri": "ferry.md", "text": "The last ferry leaves at ten."}
      """
    Then the status is 201
    And "id" of the body is kept as "ferry"
    When DELETE "/api/v1/documents/{ferry}?keep_days=30" is asked
    Then the status is 204
    When GET "/api/v1/documents/{ferry}" is asked
    Then the status is 404
    When GET "/api/v1/removed-documents" is asked
    Then the status is 200
    And "results.0.uri" of the body is "ferry.md"
    And the reply is as the description says
    When POST "/api/v1/removed-documents/{ferry}/restore" is asked with JSON
      """
      {}
      """
    Then the status is 202
    And "kind" of the body is "document.restore"
    And the reply is as the description says

  @method=DELETE @endpoint=/api/v1/documents/{id} @negative
  Scenario: Days that make no sense are named
    When DELETE "/api/v1/documents/none?keep_days=0" is asked
    Then the status is 400
    And the error names the field "keep_days"
