Feature: The description of the interface
  Security servers read OpenAPI 3.0, and integrators rely on it being true.

  @method=GET @endpoint=/v3/api-docs @smoke @positive
  Scenario: It is OpenAPI 3.0 and knows every path that is tested
    When GET "/v3/api-docs" is asked
    Then the status is 200
    And "openapi" of the body matches "^3\.0\.\d$"
    And "info.license.name" of the body is "Apache-2.0"
    And it is valid OpenAPI
    And everything that is tested is described

  @method=GET @endpoint=/v3/api-docs.yaml @smoke @positive
  Scenario: It is there as YAML
    When GET "/v3/api-docs.yaml" is asked
    Then the status is 200
    And the header "content-type" of the reply matches "yaml"
    And the text has "openapi: 3.0."

  @method=GET @endpoint=/api/v1/me @positive
  Scenario Outline: Replies are as described
    When GET "<path>" is asked
    Then the status is 200
    And the reply is as the description says

    Examples:
      | path                     |
      | /api/v1/me               |
      | /api/v1/workspaces       |
      | /api/v1/documents        |
      | /api/v1/jobs             |
      | /api/v1/conversations    |
      | /api/v1/feedback         |
      | /api/v1/usage            |
      | /api/v1/audit            |
      | /api/v1/keys             |
      | /api/v1/me/data          |
      | /api/v1/audit/verify     |
