Feature: Keys
  Machines are told apart by keys, which allow little and end at once.

  Background:
    Given a workspace "mines"

  @method=POST @endpoint=/api/v1/workspaces/{workspace}/keys @smoke @positive
  Scenario: A secret is told once
    When POST "/api/v1/workspaces/{mines}/keys" is asked with JSON
      """
      {"name": "portal", "role": "reader", "expires": "2099-01-31T00:00:00Z"}
      """
    Then the status is 201
    And "secret" of the body matches "^gk_"
    And "expires" of the body matches "^2099-01-31T00:00:00(\.0+)?Z$"
    And the reply is as the description says
    And "secret" of the body is kept as "secret"
    When GET "/api/v1/workspaces/{mines}/keys" is asked
    Then the status is 200
    And "count" of the body is "1"
    And the text does not have "{secret}"
    And the reply is as the description says

  @method=POST @endpoint=/api/v1/workspaces/{workspace}/keys/{id}/rotate @positive
  Scenario: A new secret ends the old one
    Given a key "portal" of the role reader in "{mines}"
    When POST "/api/v1/workspaces/{mines}/keys/{portalId}/rotate" is asked
    Then the status is 200
    And "secret" of the body is kept as "fresh"
    Given the key "{portal}"
    When GET "/api/v1/me" is asked
    Then the status is 401
    Given the key "{fresh}"
    When GET "/api/v1/me" is asked
    Then the status is 200
    And "workspace" of the body is "{mines}"
    And "role" of the body is "reader"

  @method=DELETE @endpoint=/api/v1/workspaces/{workspace}/keys/{id} @negative
  Scenario: A revoked key opens nothing
    Given a key "portal" of the role reader in "{mines}"
    When DELETE "/api/v1/workspaces/{mines}/keys/{portalId}" is asked
    Then the status is 204
    Given the key "{portal}"
    When GET "/api/v1/me" is asked
    Then the status is 401
    And it is an error "unauthorized" of TMF630
    And the header "www-authenticate" of the reply is "Bearer"
    And the text does not have "{portal}"

  @method=POST @endpoint=/api/v1/documents @negative
  Scenario Outline: A role allows what it is for
    Given a key "portal" of the role <role> in "{mines}"
    And the key "{portal}"
    When <method> "<path>" is asked with JSON
      """
      {"uri": "a.md", "text": "Nothing.", "query": "nothing"}
      """
    Then the status is 403
    And it is an error "forbidden" of TMF630

    Examples:
      | role    | method | path                                |
      | reader  | POST   | /api/v1/documents                   |
      | editor  | POST   | /api/v1/workspaces/{mines}/keys     |
      | auditor | POST   | /api/v1/search                      |
      | reader  | POST   | /api/v1/workspaces                  |

  @method=POST @endpoint=/api/v1/search @negative
  Scenario: Who has no key is asked for one
    Given no key
    When POST "/api/v1/search" is asked with JSON
      """
      {"query": "anything"}
      """
    Then the status is 401
    And it is an error "unauthorized" of TMF630

  @method=POST @endpoint=/api/v1/workspaces/{workspace}/keys @negative
  Scenario: A key can't have ended before it began
    When POST "/api/v1/workspaces/{mines}/keys" is asked with JSON
      """
      {"name": "", "role": "reader", "scopes": ["audit.read"], "expires": "2001-01-31T00:00:00Z"}
      """
    Then the status is 400
    And the error names the field "name"
    And the error names the field "scopes"
    And the error names the field "expires"
