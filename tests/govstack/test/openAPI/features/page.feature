Feature: The page
  It is valid HTML and CSS, and nothing on it comes from elsewhere.

  @method=GET @endpoint=/ @smoke @positive
  Scenario: The page is valid HTML
    When GET "/" is asked
    Then the status is 200
    And the header "content-type" of the reply is "text/html; charset=utf-8"
    And the header "content-security-policy" of the reply matches "default-src 'none'"
    And the text is valid HTML
    And the text does not have "http://"

  @method=GET @endpoint=/style.css @positive
  Scenario: Its style is valid CSS
    When GET "/style.css" is asked
    Then the status is 200
    And the header "content-type" of the reply matches "^text/css"
    And the text is valid CSS
