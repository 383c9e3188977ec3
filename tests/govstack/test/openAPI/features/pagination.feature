Feature: Pages of lists

  Background:
    Given a workspace "shelf"
    And the header "x-genie-workspace" is "{shelf}"
    And a document "one.md" that says "The first ferry leaves at six."
    And a document "two.md" that says "The second ferry leaves at noon."
    And a document "three.md" that says "The last ferry leaves at ten."

  @method=GET @endpoint=/api/v1/documents @smoke @positive
  Scenario: A list is walked by its links
    When GET "/api/v1/documents?page=1&pageSize=2" is asked
    Then the status is 200
    And "count" of the body is "3"
    And "results" of the body has 2 entries
    And "previous" of the body is "null"
    And "next" of the body is "/api/v1/documents?page=2&pageSize=2"
    And the reply is as the description says
    And "next" of the body is kept as "next"
    When GET "{next}" is asked
    Then the status is 200
    And "results" of the body has 1 entries
    And "next" of the body is "null"
    And "previous" of the body is "/api/v1/documents?page=1&pageSize=2"

  @method=GET @endpoint=/api/v1/documents @positive
  Scenario: Behind the end there is nothing, and a way back
    When GET "/api/v1/documents?page=9&pageSize=2" is asked
    Then the status is 200
    And "count" of the body is "3"
    And "results" of the body has 0 entries
    And "previous" of the body is "/api/v1/documents?page=2&pageSize=2"

  @method=GET @endpoint=/api/v1/documents @negative
  Scenario Outline: Pages that can't be
    When GET "/api/v1/documents?<query>" is asked
    Then the status is 400
    And it is an error "invalid_request" of TMF630
    And the error names the field "<field>"

    Examples:
      | query         | field    |
      | page=0        | page     |
      | pageSize=0    | pageSize |
      | pageSize=1001 | pageSize |
      | page=first    | query    |
