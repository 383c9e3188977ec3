Feature: Errors
  They have one shape, say what to do, and tell nothing of the inside.

  @method=GET @endpoint=/api/v1/me @negative
  Scenario: A path that is not there
    When GET "/api/v1/nowhere" is asked
    Then the status is 404
    And it is an error "not_found" of TMF630

  @method=POST @endpoint=/api/v1/search @negative
  Scenario: A method that the path does not take
    When DELETE "/api/v1/search" is asked
    Then the status is 405
    And it is an error "method_not_allowed" of TMF630
    And the header "allow" of the reply matches "POST"

  @method=POST @endpoint=/api/v1/search @negative
  Scenario Outline: A body that is no JSON
    When POST "/api/v1/search" is asked with "<body>" of the type "<type>"
    Then the status is <status>
    And it is an error "<code>" of TMF630

    Examples:
      | body            | type                              | status | code                   |
      | query=x         | application/x-www-form-urlencoded | 415    | unsupported_media_type |
      | <query>         | application/xml                   | 415    | unsupported_media_type |
      | {               | application/json                  | 400    | invalid_json           |

  @method=POST @endpoint=/api/v1/search @negative
  Scenario: Text that is not UTF-8 is not guessed at
    # {"query":"caf\xe9"} in Latin-1
    When POST "/api/v1/search" is asked with bytes "7b227175657279223a22636166e9227d" as JSON
    Then the status is 400
    And it is an error "invalid_utf8" of TMF630

  @method=GET @endpoint=/v1/models/{model} @negative
  Scenario: OpenAI's interface has OpenAI's errors
    When GET "/v1/models/none-of-this-name" is asked
    Then the status is 404
    And "error.type" of the body is "invalid_request_error"
    And the body has no "referenceError"

  @method=GET @endpoint=/api/v1/me @negative
  Scenario: A wrong key is not overlooked, and not repeated
    Given the key "gk_0000000000000000000000000000000000000000000"
    When GET "/api/v1/me" is asked
    Then the status is 401
    And it is an error "unauthorized" of TMF630
    And the text does not have "gk_0000"
