#pragma once
// What is wrong with a request, for every field of every request message: the table of bad_input_test.

#include <string>
#include <vector>

namespace tandem::test {

struct BadInput {
  std::string method;                 // "DatasetService/GetDataset"
  std::vector<std::string> messages;  // Text format; several on a stream.
  std::string path;    // What BadRequest must name; of a refused element of a stream, with its place in front.
  std::string covers;  // The field that the case is about, when `path` names another one.
};

inline std::string Quoted(int bytes) { return "\"" + std::string(bytes, 'a') + "\""; }  // Text format.

std::vector<BadInput> BadInputs();
std::vector<BadInput> TrainingInputs();    // The part of them in bad_input_training_cases.cc,
std::vector<BadInput> FilterInputs();      // in bad_input_filter_cases.cc,
std::vector<BadInput> FeedbackInputs();    // in bad_input_feedback_cases.cc,
std::vector<BadInput> InputsOverLimits();  // and in bad_input_limit_cases.cc.

// Fields ("Service/Method:path") for which every value is legal by itself and no combination is wrong, with the reason.
struct AnyValue {
  std::string field, reason;
};
std::vector<AnyValue> AnyValueIsLegal();
std::vector<AnyValue> AnyTrainingValueIsLegal();  // The part of them in bad_input_training_cases.cc.

}  // namespace tandem::test
