// Bad filterable fields, filters, and the ways in which a search finds and chooses hits.
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/e2e/bad_input_cases.h"

namespace tandem::test {
namespace {

using Cases = std::vector<BadInput>;

void AddFields(Cases* cases) {
  const std::string create = "CollectionService/CreateCollection";
  const auto add = [&](const std::string& fields, const std::string& path) {
    cases->push_back({create, {fields}, path, ""});
  };
  std::string many;
  for (int i = 0; i < 65; ++i) many += absl::StrCat("fields { name: \"f", i, "\" type: KEYWORD } ");
  add(many, "fields");
  add("fields { type: KEYWORD }", "fields[0].name");
  add("fields { name: " + Quoted(257) + " type: KEYWORD }", "fields[0].name");
  for (const char* name : {".", "a.", ".a", "a..b"}) {
    add(absl::StrCat("fields { name: \"", name, "\" type: BOOL }"), "fields[0].name");
  }
  add("fields { name: \"a\" type: BOOL } fields { name: \"a\" type: FLOAT }", "fields[1].name");
  add("fields { name: \"a.b.c\" type: BOOL } fields { name: \"a.b\" type: KEYWORD }", "fields[0].name");
  add("fields { name: \"a\" }", "fields[0].type");
  add("fields { name: \"a\" type: 6 }", "fields[0].type");
}

// Around a filter in a message of `method`: what stands before and after it, and its path.
struct FilterPlace {
  std::string method, before, after, path;
};

void AddConditions(Cases* cases, const FilterPlace& place, const std::string& list) {
  const auto add = [&](const std::string& condition, const std::string& path, const std::string& covers = "") {
    cases->push_back({place.method,
                      {absl::StrCat(place.before, "filter { ", list, " { ", condition, " } }", place.after)},
                      absl::StrCat(place.path, "filter.", list, "[0]", path),
                      covers.empty() ? "" : absl::StrCat(place.path, "filter.", list, "[0]", covers)});
  };
  add("", "");
  add("has_id { }", ".has_id.ids");
  add("has_id { ids: \"a\" ids: \"\" }", ".has_id.ids[1]");
  add("filter { should { } }", ".filter.should[0]");
  const auto test = [&](const std::string& body, const std::string& path, const std::string& covers = "") {
    add("field { field: \"f\" " + body + " }", ".field" + path, covers.empty() ? "" : ".field" + covers);
  };
  add("field { equals { keyword: \"x\" } }", ".field.field");
  test("", "");
  test("equals { }", ".equals");
  test("equals { keyword: " + Quoted(1025) + " }", ".equals.keyword");
  test("equals { time { seconds: 253402300800 } }", ".equals.time.seconds");
  test("equals { time { nanos: -1 } }", ".equals.time.nanos");
  test("any_of { }", ".any_of.values");
  test("any_of { values { } }", ".any_of.values[0]");
  test("any_of { values { keyword: " + Quoted(1025) + " } }", ".any_of.values[0].keyword");
  test("any_of { values { time { seconds: -62135596801 } } }", ".any_of.values[0].time.seconds");
  test("any_of { values { time { nanos: 1000000000 } } }", ".any_of.values[0].time.nanos");
  // Whether such values fit is for the collection to say: this one declares no field.
  for (const char* value : {"integer: 1", "boolean: true"}) {
    const std::string name(value, std::string(value).find(':'));
    test(absl::StrCat("equals { ", value, " }"), ".field", ".equals." + name);
    test(absl::StrCat("any_of { values { ", value, " } }"), ".field", ".any_of.values[0]." + name);
  }
  test("exists: true", ".field", ".exists");
  test("range { }", ".range");
  test("range { at_least: 1 greater_than: 1 }", ".range");
  test("range { at_most: 1 less_than: 1 }", ".range");
  test("time_range { }", ".time_range");
  test("time_range { after { } at_or_after { } }", ".time_range");
  test("time_range { before { } at_or_before { } }", ".time_range");
  for (const char* bound : {"greater_than", "at_least", "less_than", "at_most"}) {
    test(absl::StrCat("range { ", bound, ": nan }"), absl::StrCat(".range.", bound));
    test(absl::StrCat("range { ", bound, ": -inf }"), absl::StrCat(".range.", bound));
  }
  for (const char* bound : {"after", "at_or_after", "before", "at_or_before"}) {
    test(absl::StrCat("time_range { ", bound, " { seconds: 253402300800 } }"),
         absl::StrCat(".time_range.", bound, ".seconds"));
    test(absl::StrCat("time_range { ", bound, " { nanos: -1 } }"), absl::StrCat(".time_range.", bound, ".nanos"));
  }
}

void AddFilter(Cases* cases, const FilterPlace& place) {
  for (const char* list : {"must", "should", "must_not"}) AddConditions(cases, place, list);
  std::string deep = "filter { must { ", deep_end = " } }", path = "filter.must[0]";
  for (int depth = 2; depth <= 9; ++depth) {
    deep += "filter { must { ";
    deep_end += " } }";
    path += depth == 9 ? ".filter" : ".filter.must[0]";
  }
  cases->push_back(
      {place.method, {place.before + deep + "has_id { ids: \"a\" }" + deep_end + place.after}, place.path + path, ""});
  std::string many = "filter { ";
  for (int i = 0; i < 257; ++i) many += "should { has_id { ids: \"a\" } } ";
  cases->push_back({place.method, {place.before + many + "}" + place.after}, place.path + "filter.should[256]", ""});
}

// `open` and `close` stand around a search; `prefix` is its path.
void AddSearch(Cases* cases, const std::string& method, const std::string& open, const std::string& close,
               const std::string& prefix) {
  const auto add = [&](const std::string& search, const std::string& path) {
    cases->push_back({method, {open + search + close}, prefix + path, ""});
  };
  const auto text = [&](const std::string& more, const std::string& path) { add("text: \"q\" " + more, path); };
  AddFilter(cases, {method, open + "text: \"q\" ", close, prefix});
  add("documents { ids: \"a\" } by_keyword { }", "by_keyword");
  add("documents { ids: \"a\" } hybrid { }", "hybrid");
  text("by_keyword { } exact: true", "exact");
  text("by_keyword { } nprobe: 1", "nprobe");
  text("by_keyword { } diversity { }", "diversity");
  text("hybrid { } diversity { }", "diversity");
  text("group_by { field: \"f\" } diversity { }", "diversity");
  for (const char* bad : {"0", "10001"}) {
    text(absl::StrCat("hybrid { candidates: ", bad, " }"), "hybrid.candidates");
    text(absl::StrCat("hybrid { reciprocal_rank { constant: ", bad, " } }"), "hybrid.reciprocal_rank.constant");
    text(absl::StrCat("diversity { candidates: ", bad, " }"), "diversity.candidates");
    for (const char* weight : {"vector_weight", "keyword_weight"}) {
      text(absl::StrCat("hybrid { reciprocal_rank { ", weight, ": ", bad, " } }"),
           absl::StrCat("hybrid.reciprocal_rank.", weight));
    }
    for (const char* temperature : {"vector_temperature", "keyword_temperature"}) {
      text(absl::StrCat("hybrid { softmax { ", temperature, ": ", bad, " } }"),
           absl::StrCat("hybrid.softmax.", temperature));
    }
  }
  for (const char* bad : {"-0.1", "1.1", "nan"}) {
    text(absl::StrCat("hybrid { weighted { vector_weight: ", bad, " } }"), "hybrid.weighted.vector_weight");
    text(absl::StrCat("hybrid { softmax { vector_weight: ", bad, " } }"), "hybrid.softmax.vector_weight");
    text(absl::StrCat("diversity { lambda: ", bad, " }"), "diversity.lambda");
  }
  text("group_by { }", "group_by.field");
  text("group_by { field: \"unknown\" }", "group_by.field");
  for (const char* bad : {"0", "101"}) text(absl::StrCat("group_by { field: \"f\" size: ", bad, " }"), "group_by.size");
  text("read_mask { }", "read_mask.paths");
  text("view: IDS read_mask { paths: \"text\" }", "read_mask");
  for (const char* bad : {"", "id", "payload.", "payload..a", "text.x"}) {
    text(absl::StrCat("read_mask { paths: \"text\" paths: \"", bad, "\" }"), "read_mask.paths[1]");
  }
  add("recommend { negatives { document: \"a\" } }", "recommend.positives");
  for (const std::string list : {"positives", "negatives"}) {
    const std::string good = list == "positives" ? "" : "positives { document: \"a\" } ";
    const std::string path = "recommend." + list;
    add("recommend { " + good + list + " { } }", path + "[0]");
    add("recommend { " + good + list + " { document: " + Quoted(257) + " } }", path + "[0].document");
    add("recommend { " + good + list + " { text: \"\" } }", path + "[0].text");
  }
}

}  // namespace

std::vector<BadInput> FilterInputs() {
  Cases cases;
  AddFields(&cases);
  const std::string in_c = "collection: \"collections/c\" ";
  for (const char* method : {"ListDocuments", "CountDocuments", "DeleteDocuments"}) {
    AddFilter(&cases, {absl::StrCat("CollectionService/", method), in_c, "", ""});
  }
  const std::string remove = "CollectionService/DeleteDocuments";
  cases.push_back({remove, {in_c + "filter { }"}, "filter", ""});
  cases.push_back({remove, {in_c + "ids: \"a\" filter { must { has_id { ids: \"a\" } } }"}, "filter", ""});
  AddSearch(&cases, "SearchService/Search", in_c, "", "");
  AddSearch(&cases, "SearchService/BatchSearch", in_c + "searches { text: \"q\" } searches { ", " }", "searches[1].");
  return cases;
}

}  // namespace tandem::test
