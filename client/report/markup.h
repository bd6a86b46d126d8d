#pragma once
// Text as HTML that is well-formed XML as well, so that any parser can check a page. Everything that comes from users
// goes through Escape or UserText.

#include <string>

#include "absl/strings/string_view.h"

namespace tandem::report {

// For element content and for values of attributes in double quotes. Control characters become spaces; what is no
// character of XML becomes U+FFFD; characters that would turn the direction of the text around them are dropped.
std::string Escape(absl::string_view text);

// The beginning of `text`, about `characters` columns of it, with "…" when something is left out. Not escaped.
std::string Shorten(absl::string_view text, int characters);

// Shortened and escaped, in a <bdi> of its own: right-to-left text leaves what is beside it alone.
std::string UserText(absl::string_view text, int characters = 200);

// A coordinate or size in SVG: at most two decimals, "0" instead of what is no number.
std::string Coordinate(double value);

}  // namespace tandem::report
