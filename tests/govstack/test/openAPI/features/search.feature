Feature: Search
  Without any language model, passages are found by meaning and by words.

  @method=POST @endpoint=/api/v1/search @smoke @positive
  Scenario: A passage of the seeded document is found
    When POST "/api/v1/search" is asked with JSON
      """
      {"query": "How much does a market stall licence cost?"}
      """
    Then the status is 200
    And "language" of the body is "en"
    And "passages.0.document" of the body is "licences/market-stall.md"
    And "passages.0.text" of the body matches "25 crowns"
    And "passages.0.similarity" of the body is at least 0.5
    And the reply is as the description says

  @method=POST @endpoint=/api/v1/search @positive
  Scenario: A question in French finds the English document
    When POST "/api/v1/search" is asked with JSON
      """
      {"query": "Combien coûte une licence pour un étal de marché ?", "top_k": 1}
      """
    Then the status is 200
    And "language" of the body is "fr"
    And "passages" of the body has 1 entries
    And "passages.0.document" of the body is "licences/market-stall.md"

  @method=POST @endpoint=/api/v1/search @positive
  Scenario: A filter leaves nothing where nothing fits
    When POST "/api/v1/search" is asked with JSON
      """
      {"query": "market stall", "filter": {"to": "1901-01-01"}}
      """
    Then the status is 200
    And "passages" of the body has 0 entries

  @method=POST @endpoint=/api/v1/search @negative
  Scenario Outline: What can't be searched is refused with the field
    When POST "/api/v1/search" is asked with JSON
      """
      <body>
      """
    Then the status is 400
    And it is an error "invalid_request" of TMF630
    And the error names the field "<field>"
    And the reply is as the description says

    Examples:
      | body                                          | field            |
      | {"query": ""}                                 | query            |
      | {"query": "x", "top_k": 0}                    | top_k            |
      | {"query": "x", "language": "tlh"}             | language         |
      | {"query": "x", "filter": {"from": "2024"}}    | filter.from      |
      | {"query": "x", "filter": {"documents": ["?"]}} | filter.documents |

  @method=POST @endpoint=/api/v1/search @negative
  Scenario: A misspelt field is not overlooked
    When POST "/api/v1/search" is asked with JSON
      """
      {"query": "x", "topK": 3}
      """
    Then the status is 400
    And it is an error "invalid_json" of TMF630
