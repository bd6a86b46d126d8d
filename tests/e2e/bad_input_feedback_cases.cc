// What is wrong with a feedback policy and with feedback. Its training is checked as TrainingService/Train checks it,
// so a few cases stand for all fields of it.

#include "tests/e2e/bad_input_cases.h"

namespace tandem::test {

std::vector<BadInput> FeedbackInputs() {
  std::vector<BadInput> cases;
  const std::string update = "CollectionService/UpdateCollection", name = "name: \"collections/c\" ";
  const auto feedback = [&](const std::string& policy, const std::string& path) {
    cases.push_back({update, {name + "update_mask { paths: \"feedback\" } feedback { " + policy + " }"}, path, ""});
  };
  const std::string dataset = "dataset: \"datasets/d\" ";
  feedback("dataset: \"d\"", "feedback.dataset");
  feedback("retrain_after: 5", "feedback.retrain_after");
  feedback("training { }", "feedback.training");
  for (const char* bad : {"0", "-1", "1000001"}) {
    feedback(dataset + "retrain_after: " + bad, "feedback.retrain_after");
  }
  feedback(dataset + "training { base_revision: \"models/m\" }", "feedback.training.base_revision");
  feedback(dataset + "training { dataset: \"datasets/d\" }", "feedback.training.dataset");
  feedback(dataset + "training { request_id: \"r\" }", "feedback.training.request_id");
  feedback(dataset + "training { options { batch_size: 1 } }", "feedback.training.options.batch_size");
  feedback(dataset + "training { loss { info_nce { scale: -1 } } }", "feedback.training.loss.info_nce.scale");
  feedback(dataset + "training { validation_dataset: \"d\" }", "feedback.training.validation_dataset");
  for (const char* field : {"number: 1", "start_time { seconds: 1 }", "start_time { nanos: 1 }", "job: \"j\"",
                            "release: \"r\"", "outcome: \"o\""}) {
    feedback(dataset + "last { " + field + " }", "feedback.last");
    std::string path = "feedback.last." + std::string(field);
    for (const char* inner : {" { seconds", " { nanos"}) {
      if (const size_t place = path.find(inner); place != path.npos) path.replace(place, 3, ".");
    }
    cases.back().covers = path.substr(0, path.find(':'));
  }
  cases.push_back({update, {name + "update_mask { paths: \"gate\" } feedback { }"}, "feedback", ""});
  const std::string send = "SearchService/SendFeedback";
  cases.push_back({send, {"document: \"a\" judgement: RELEVANT"}, "search_id", ""});
  cases.push_back({send, {"search_id: \"s\" judgement: RELEVANT"}, "document", ""});
  cases.push_back({send, {"search_id: \"s\" document: \"a\""}, "judgement", ""});
  cases.push_back({send, {"search_id: \"s\" document: \"a\" judgement: 9"}, "judgement", ""});
  return cases;
}

}  // namespace tandem::test
