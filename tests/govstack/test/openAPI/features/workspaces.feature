Feature: Workspaces
  Ministries share a service and see nothing of each other.

  @method=POST @endpoint=/api/v1/workspaces @smoke @positive
  Scenario: A workspace is made, changed and removed
    When POST "/api/v1/workspaces" is asked with JSON
      """
      {"id": "fisheries-{run}", "name": "Ministry of Fisheries", "settings": {"top_k": 5}}
      """
    Then the status is 201
    And the header "location" of the reply is "/api/v1/workspaces/fisheries-{run}"
    And "created" of the body matches "^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"
    And the reply is as the description says
    When PATCH "/api/v1/workspaces/fisheries-{run}" is asked with JSON
      """
      {"name": "Fisheries and Forests"}
      """
    Then the status is 200
    And "name" of the body is "Fisheries and Forests"
    And "settings.top_k" of the body is "5"
    When GET "/api/v1/workspaces/fisheries-{run}/settings/history" is asked
    Then the status is 200
    And one of "results" has "name" "Ministry of Fisheries"
    When DELETE "/api/v1/workspaces/fisheries-{run}" is asked
    Then the status is 204
    When GET "/api/v1/workspaces/fisheries-{run}" is asked
    Then the status is 404

  @method=POST @endpoint=/api/v1/workspaces @negative
  Scenario: There is one workspace of a name
    Given a workspace "health"
    When POST "/api/v1/workspaces" is asked with JSON
      """
      {"id": "{health}"}
      """
    Then the status is 409
    And it is an error "workspace_exists" of TMF630

  @method=POST @endpoint=/api/v1/workspaces @negative
  Scenario: Ids are of harmless characters
    When POST "/api/v1/workspaces" is asked with JSON
      """
      {"id": "../etc"}
      """
    Then the status is 400
    And it is an error "invalid_request" of TMF630
    And the error names the field "id"

  @method=GET @endpoint=/api/v1/workspaces/{workspace}/documents/{id} @negative
  Scenario: A key of one workspace sees nothing of another
    Given a workspace "health"
    And a workspace "energy"
    And a key "guest" of the role owner in "{energy}"
    And the header "x-genie-workspace" is "{health}"
    And a document "secret.md" that says "The canary sings at seven."
    And the key "{guest}"
    When GET "/api/v1/workspaces/{health}/documents/{document}" is asked
    Then the status is 404
    When GET "/api/v1/workspaces/{health}" is asked
    Then the status is 404
    When GET "/api/v1/workspaces/{energy}/documents/{document}" is asked
    Then the status is 404
    And it is an error "document_not_found" of TMF630
    When POST "/api/v1/workspaces/{energy}/search" is asked with JSON
      """
      {"query": "When does the canary sing?"}
      """
    Then the status is 200
    And "passages" of the body has 0 entries
    And the text does not have "seven"
    When GET "/api/v1/workspaces" is asked
    Then the status is 404
    And it is an error "workspace_not_found" of TMF630
    Given the header "x-genie-workspace" is "{energy}"
    When GET "/api/v1/workspaces" is asked
    Then none of "results" has "id" "{health}"

  @method=POST @endpoint=/api/v1/workspaces @negative
  Scenario: An owner of a workspace makes no other one
    Given a workspace "energy"
    And a key "guest" of the role owner in "{energy}"
    And the key "{guest}"
    When POST "/api/v1/workspaces" is asked with JSON
      """
      {"id": "mine-{run}"}
      """
    Then the status is 403
    And it is an error "forbidden" of TMF630
