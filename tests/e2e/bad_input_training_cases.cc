// What is wrong with a request to train, and to estimate a training. Datasets "d" (pairs) and "other" (labelled texts)
// and the model "m" of 1 layer and 16 dimensions are there: SetUpTestSuite of bad_input_test.cc.

#include "tests/e2e/bad_input_cases.h"

namespace tandem::test {
namespace {

using Cases = std::vector<BadInput>;

const char kBase[] = "base_revision: \"models/m\" ";
const char kDataset[] = "dataset: \"datasets/d\" ";

struct BadValues {
  const char* field;
  std::vector<const char*> values;
};

// Options with a value that is wrong whatever the rest of the request is.
std::vector<BadValues> BadOptions() {
  return {{"batch_size", {"0", "1", "4097", "-5", "65537 micro_batch_size: 4"}},
          {"micro_batch_size", {"0", "4097"}},
          {"epochs", {"0", "1001"}},
          {"max_steps", {"0", "10000001"}},
          {"learning_rate", {"0", "-1", "1.5", "nan", "inf"}},
          {"warmup_steps", {"-1", "5 max_steps: 5", "100000"}},
          {"schedule", {"9"}},
          {"weight_decay", {"-0.1", "1.1", "nan"}},
          {"max_gradient_norm", {"0", "nan", "2e6"}},
          {"max_length", {"0", "3", "-1", "100000"}},
          {"seed", {"-1"}},
          {"order", {"9"}},
          {"batch_sampler", {"9", "BALANCED"}},  // The examples have no classes.
          {"texts_per_class", {"1", "-1", "100000"}},
          {"mixing", {"9"}},
          {"validation_fraction", {"-0.1", "0.6", "nan"}},
          {"evaluation_steps", {"0", "10000001"}},
          {"early_stopping_patience", {"0", "1001", "3 validation_fraction: 0"}},
          {"keep", {"9", "BEST validation_fraction: 0"}},
          {"checkpoint_steps", {"0", "10000001"}},
          {"freeze_layers", {"-1", "1001", "1"}},  // As many as there are.
          {"layer_decay", {"0", "1.1", "nan"}},
          {"precision", {"9"}}};
}

// Losses with an option at fault.
std::vector<BadValues> BadLossOptions() {
  return {{"info_nce.scale", {"0", "-1", "1001", "nan", "inf"}},
          {"info_nce.hardness", {"-1", "101", "nan"}},
          {"info_nce.hard_negatives", {"9", "EXPLICIT"}},
          {"info_nce.false_negative_margin", {"-2.1", "2.1", "nan"}},
          {"nt_xent.temperature", {"0", "101", "nan"}},
          {"n_pair.regularization", {"-1", "101", "nan"}},
          {"triplet.mining", {"9"}},
          {"triplet.distance", {"9"}},
          {"triplet.margin", {"0", "1001", "nan"}},
          {"sup_con.temperature", {"0", "nan"}},
          {"contrastive.distance", {"9"}},
          {"contrastive.margin", {"0", "1001", "nan"}},
          {"sim_cse.scale", {"0", "1001"}},
          {"cosent.scale", {"0", "nan"}},
          {"angle.scale", {"0", "1001"}},
          {"matryoshka.dimensions", {"0"}},
          {"matryoshka.weights", {"1"}}};
}

// "triplet.margin", "0" -> "triplet { margin: 0 }".
std::string LossText(const std::string& field, const std::string& value) {
  const size_t dot = field.find('.');
  return field.substr(0, dot) + " { " + field.substr(dot + 1) + ": " + value + " }";
}

// `open` and `close` stand around a loss; `prefix` is its path.
void AddLosses(Cases* cases, const std::string& method, const std::string& open, const std::string& close,
               const std::string& prefix) {
  const auto add = [&](const std::string& loss, const std::string& path) {
    cases->push_back({method, {open + loss + close}, path, ""});
  };
  for (const BadValues& option : BadLossOptions()) {
    for (const char* value : option.values) {
      // A list names the element at fault, or itself.
      const bool dimension = std::string(option.field) == "matryoshka.dimensions";
      add(LossText(option.field, value), prefix + option.field + (dimension ? "[0]" : ""));
    }
  }
  add("info_nce { symmetric: true }", prefix + "info_nce.symmetric");  // With a sampler of PLAIN.
  add("matryoshka { dimensions: 4096 }", prefix + "matryoshka.dimensions[0]");
}

void AddRequests(Cases* cases, const std::string& method) {
  const std::string base = kBase, dataset = kDataset, good = base + dataset;
  const auto add = [&](const std::string& request, const std::string& path) {
    cases->push_back({method, {request}, path, ""});
  };
  for (const char* bad : {"", "elsewhere/x", "Upper", "../../etc/passwd"}) {
    const std::string name = ": \"" + std::string(bad) + "\" ";
    add("base_revision" + name + dataset, "base_revision");
    add(base + "dataset" + name, "dataset");
    add(base + "objectives { dataset" + name + "}", "objectives[0].dataset");
  }
  add(good + "dataset_commit: 0", "dataset_commit");
  add(good + "dataset_commit: -1", "dataset_commit");
  add(good + "dataset_commit: 99999", "dataset_commit");
  add(good + "target_model: \"models/m/revisions/r\"", "target_model");
  add(good + "validation_dataset: \"d\"", "validation_dataset");
  add(good + "validation_dataset: \"datasets/d\"", "validation_dataset");
  add(good + "request_id: " + Quoted(65), "request_id");
  const std::string objective = "objectives { dataset: \"datasets/d\" } ";
  add(base + dataset + objective, "dataset");
  add(base + "dataset_commit: 1 " + objective, "dataset_commit");
  add(base + "loss { } " + objective, "loss");
  std::string nine;
  for (int i = 0; i < 9; ++i) nine += objective;
  add(base + nine, "objectives");
  add(base + objective + "objectives { dataset: \"datasets/d\" dataset_commit: 0 }", "objectives[1].dataset_commit");
  add(base + objective + "objectives { dataset: \"datasets/d\" dataset_commit: 9999 }", "objectives[1].dataset_commit");
  add(base + "objectives { dataset: \"datasets/d\" dataset_commit: 9999 }", "objectives[0].dataset_commit");
  add(base + objective + "validation_dataset: \"datasets/d\"", "validation_dataset");
  for (const char* bad : {"0", "-1", "1001", "nan"}) {
    add(base + "objectives { dataset: \"datasets/d\" weight: " + bad + " }", "objectives[0].weight");
  }
}

void AddOptions(Cases* cases, const std::string& method) {
  const std::string good = std::string(kBase) + kDataset;
  for (const BadValues& option : BadOptions()) {
    for (const char* value : option.values) {
      cases->push_back({method,
                        {good + "options { " + option.field + ": " + value + " }"},
                        std::string("options.") + option.field,
                        ""});
    }
  }
  const auto add = [&](const std::string& options, const std::string& path) {
    cases->push_back({method, {good + "options { " + options + " }"}, path, ""});
  };
  add("lora { }", "options.lora.rank");
  add("lora { rank: 257 }", "options.lora.rank");
  add("lora { rank: 8 initialization: 9 }", "options.lora.initialization");
  add("lora { rank: 8 initialization: PRINCIPAL dropout: 0.1 }", "options.lora.dropout");
  for (const char* bad : {"0", "-1", "10001", "nan"}) {
    add("lora { rank: 8 alpha: " + std::string(bad) + " }", "options.lora.alpha");
  }
  for (const char* bad : {"-0.1", "0.91", "nan"}) {
    add("lora { rank: 8 dropout: " + std::string(bad) + " }", "options.lora.dropout");
  }
}

// The form of the examples is not the loss's, or there is too little of them.
void AddExamples(Cases* cases, const std::string& method) {
  const auto add = [&](const std::string& dataset, const std::string& rest, const std::string& path) {
    cases->push_back({method, {std::string(kBase) + "dataset: \"datasets/" + dataset + "\" " + rest}, path, ""});
  };
  add("d", "loss { cosent { } }", "dataset");
  add("d", "loss { sup_con { } }", "dataset");
  add("d", "loss { triplet { } }", "dataset");  // Its pairs have no negatives.
  add("d", "dataset_commit: 1", "dataset");
  add("other", "", "dataset");
  add("other", "loss { sup_con { } } dataset_commit: 3", "dataset");  // One class.
  add("other", "loss { sup_con { } } options { batch_size: 6 texts_per_class: 4 }", "options.texts_per_class");
}

// Of a NegativeMining that stands between `before` and `after`, with `path` in front of its fields.
void AddNegativeMining(Cases* cases, const std::string& method, const std::string& before, const std::string& after,
                       const std::string& path) {
  const auto add = [&](const std::string& field, const std::string& values, const std::vector<const char*>& bad) {
    for (const char* value : bad) {
      cases->push_back({method, {before + values + field + ": " + value + after}, path + "." + field, ""});
    }
  };
  add("negatives", "", {"0", "-1", "65", "101"});
  add("negatives", "min_rank: 98 ", {"4"});  // Three ranks.
  add("min_rank", "", {"0", "-1", "101"});
  add("min_rank", "max_rank: 20 ", {"21"});
  add("max_rank", "", {"0", "-1", "1001"});
  add("margin", "", {"-0.1", "2.1", "nan", "inf"});
  add("relative_margin", "", {"-0.1", "1.1", "nan"});
  for (const char* field : {"min_score", "max_score"}) add(field, "", {"-1.1", "1.1", "nan"});
  add("min_score", "max_score: 0.5 ", {"0.6"});
  add("sampling", "", {"7"});
  add("seed", "", {"-1"});
}

// Of a training that mines while it trains.
void AddMining(Cases* cases, const std::string& method) {
  const std::string good = std::string(kBase) + kDataset, path = "options.mining";
  AddNegativeMining(cases, method, good + "options { mining { options { ", " } } }", path + ".options");
  for (const char* bad : {"0", "-1", "1001"}) {
    cases->push_back(
        {method, {good + "options { mining { refresh_epochs: " + bad + " } }"}, path + ".refresh_epochs", ""});
  }
  // Losses without negatives of an example.
  for (const char* loss : {"sim_cse { }", "triplet { mining: BATCH_ALL }", "cosent { }"}) {
    cases->push_back({method, {good + "loss { " + loss + " } options { mining { } }"}, path, ""});
  }
}

void AddMineNegatives(Cases* cases) {
  const std::string method = "TrainingService/MineNegatives", collection = "collection: \"collections/c\" ";
  const auto add = [&](const std::string& request, const std::string& path) {
    cases->push_back({method, {collection + request}, path, ""});
  };
  for (const char* bad : {"", "d", "models/d", "datasets/", "datasets/D"}) {
    add("dataset: \"" + std::string(bad) + "\"", "dataset");
  }
  for (const char* bad : {"", "c", "datasets/c", "collections/", "collections/C"}) {
    cases->push_back({method, {kDataset + ("collection: \"" + std::string(bad) + "\"")}, "collection", ""});
  }
  for (const char* bad : {"0", "-1", "99999"})
    add(kDataset + ("dataset_commit: " + std::string(bad)), "dataset_commit");
  for (const char* bad : {"d", "datasets/d", "collections/d", "datasets/../d"}) {
    add(kDataset + ("target_dataset: \"" + std::string(bad) + "\""), "target_dataset");
  }
  AddNegativeMining(cases, method, collection + kDataset + "mining { ", " }", "mining");
  add(kDataset + ("request_id: " + Quoted(65)), "request_id");
  add("dataset: \"datasets/other\"", "dataset");  // No pairs.
}

}  // namespace

std::vector<AnyValue> AnyTrainingValueIsLegal() {
  std::vector<AnyValue> fields;
  for (const std::string method : {"TrainingService/Train:", "TrainingService/EstimateTraining:"}) {
    for (const std::string loss : {"loss.", "objectives.loss."}) {
      for (const char* field : {"info_nce.query_negatives", "info_nce.document_negatives", "info_nce.several_positives",
                                "contrastive.squared", "contrastive.only_hard"}) {
        fields.push_back({method + loss + field, "a truth value: both are legal beside any other options"});
      }
    }
    fields.push_back({method + "options.freeze_embeddings", "a truth value: both are legal beside any other options"});
  }
  fields.push_back({"TrainingService/MineNegatives:only_with_negatives", "a truth value: both are legal"});
  return fields;
}

std::vector<BadInput> TrainingInputs() {
  Cases cases;
  AddMineNegatives(&cases);
  for (const char* name : {"Train", "EstimateTraining"}) {
    const std::string method = std::string("TrainingService/") + name;
    AddRequests(&cases, method);
    AddOptions(&cases, method);
    AddMining(&cases, method);
    AddExamples(&cases, method);
    const std::string plain = " } options { batch_sampler: PLAIN }", base = kBase;
    AddLosses(&cases, method, base + kDataset + "loss { ", plain, "loss.");
    AddLosses(&cases, method, base + "objectives { " + kDataset + "loss { ", " }" + plain, "objectives[0].loss.");
  }
  return cases;
}

}  // namespace tandem::test
