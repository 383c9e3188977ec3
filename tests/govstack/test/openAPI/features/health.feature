Feature: Health and measurements
  An orchestrator has to know whether the process answers, and whether questions can be answered.

  @method=GET @endpoint=/healthcheck @smoke @positive
  Scenario: Each part says how it is
    When GET "/healthcheck" is asked
    Then the status is 200
    And "status" of the body matches "^(up|degraded)$"
    And "parts.index.status" of the body is "up"
    And "parts.index.chunks" of the body is at least 1
    And "parts.embedding.status" of the body is "up"
    And "version" of the body matches "^\d+\.\d+\.\d+"

  @method=GET @endpoint=/actuator/health @smoke @positive
  Scenario: The service can answer questions
    When GET "/actuator/health" is asked
    Then the status is 200
    And "status" of the body is "UP"

  @method=GET @endpoint=/actuator/health/liveness @smoke @positive
  Scenario: The process answers
    When GET "/actuator/health/liveness" is asked
    Then the status is 200
    And "status" of the body is "UP"

  @method=GET @endpoint=/actuator/health/readiness @smoke @positive
  Scenario: The index can be read
    When GET "/actuator/health/readiness" is asked
    Then the status is 200
    And "status" of the body is "UP"
    And "components.index.status" of the body is "UP"
    And "components.state.status" of the body is "UP"
    And "components.embedding.status" of the body is "UP"
    And "components.chat.status" of the body matches "^(UP|UNKNOWN)$"
    And "components.disk.status" of the body is "UP"

  @method=GET @endpoint=/metrics @smoke @positive
  Scenario: Measurements are text for Prometheus
    When GET "/metrics" is asked
    Then the status is 200
    And the header "content-type" of the reply matches "^text/plain"
    And the text has "# TYPE"
    And the text does not have "gk_"

  @method=GET @endpoint=/actuator/health/liveness @positive
  Scenario: Probes need no key
    Given no key
    When GET "/actuator/health/liveness" is asked
    Then the status is 200

  @method=GET @endpoint=/healthcheck @negative
  Scenario: A health check can't be posted
    When POST "/healthcheck" is asked
    Then the status is 405
    And it is an error "method_not_allowed" of TMF630
