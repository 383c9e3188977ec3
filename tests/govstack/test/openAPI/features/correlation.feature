Feature: Correlation
  One id follows a request through every system, into the log and the trail.

  @method=GET @endpoint=/api/v1/me @smoke @positive
  Scenario: The caller's id comes back
    Given the header "x-correlation-id" is "case-{run}"
    When GET "/api/v1/me" is asked
    Then the status is 200
    And the header "x-correlation-id" of the reply is "case-{run}"

  @method=GET @endpoint=/api/v1/me @positive
  Scenario: Without one, the security server's id is taken
    Given the header "x-road-id" is "EE-{run}"
    When GET "/api/v1/me" is asked
    Then the header "x-correlation-id" of the reply is "EE-{run}"

  @method=GET @endpoint=/api/v1/me @positive
  Scenario: The caller's id goes before the security server's
    Given the header "x-road-id" is "EE-{run}"
    And the header "x-correlation-id" is "case-{run}"
    When GET "/api/v1/me" is asked
    Then the header "x-correlation-id" of the reply is "case-{run}"

  @method=GET @endpoint=/api/v1/me @positive
  Scenario: Without any, one is made
    When GET "/api/v1/me" is asked
    Then the header "x-correlation-id" of the reply matches "^[0-9a-f]{8}-[0-9a-f-]{27}$"

  @method=GET @endpoint=/api/v1/me @negative
  Scenario: An id that would spoil a log is not taken over
    Given the header "x-correlation-id" is "a b; drop"
    When GET "/api/v1/me" is asked
    Then the header "x-correlation-id" of the reply matches "^[0-9a-f]{8}-[0-9a-f-]{27}$"

  @method=GET @endpoint=/api/v1/me @negative
  Scenario: Failures carry it too
    Given the header "x-correlation-id" is "case-{run}"
    When GET "/api/v1/nowhere" is asked
    Then the status is 404
    And the header "x-correlation-id" of the reply is "case-{run}"

  @method=GET @endpoint=/api/v1/audit @positive
  Scenario: The trail keeps it, with the reason of the request
    Given a workspace "records"
    And the header "x-genie-workspace" is "{records}"
    And the header "x-road-id" is "EE-{run}"
    And the header "x-road-issue" is "case-2026-17"
    And a document "ferry.md" that says "The last ferry leaves at ten."
    When GET "/api/v1/audit?pageSize=1" is asked
    Then the status is 200
    And "results.0.action" of the body is "document.add"
    And "results.0.correlation" of the body is "EE-{run}"
    And "results.0.intent" of the body is "case-2026-17"
    And "results.0.workspace" of the body is "{records}"
    And "results.0.at" of the body matches "^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"
    And the text does not have "ferry leaves"
