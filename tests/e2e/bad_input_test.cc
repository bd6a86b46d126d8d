// No request can hurt the server, and every mistake is named: for each field of each request message there is a bad
// input (bad_input_cases.cc), and each is sent over the wire to a real tandemd. Two more inputs are made of the
// descriptors alone: bytes that are not UTF-8 in every string, and an unknown field in every message.

#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tandem/v1/admin.pb.h"
#include "tandem/v1/collection.pb.h"
#include "tandem/v1/dataset.pb.h"
#include "tandem/v1/embedding.pb.h"
#include "tandem/v1/model.pb.h"
#include "tandem/v1/release.pb.h"
#include "tandem/v1/search.pb.h"
#include "tandem/v1/snapshot.pb.h"
#include "tandem/v1/training.pb.h"
#include "tests/e2e/bad_input_cases.h"
#include "tests/e2e/tandemd_process.h"
#include "tests/support/tiny_model.h"

namespace tandem::test {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::MethodDescriptor;

std::vector<const MethodDescriptor*> Methods() {
  std::vector<const MethodDescriptor*> methods;
  for (const Descriptor* message :
       {v1::ServerInfo::descriptor(), v1::Collection::descriptor(), v1::Dataset::descriptor(),
        v1::Embedding::descriptor(), v1::Job::descriptor(), v1::Model::descriptor(), v1::Release::descriptor(),
        v1::Hit::descriptor(), v1::CreateSnapshotRequest::descriptor(), v1::TrainRequest::descriptor()}) {
    const auto* file = message->file();
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) methods.push_back(file->service(s)->method(m));
    }
  }
  return methods;
}

std::string NameOf(const MethodDescriptor& method) {
  return absl::StrCat(method.service()->name(), "/", method.name());
}

const MethodDescriptor* FindMethod(const std::string& name) {
  for (const MethodDescriptor* method : Methods()) {
    if (NameOf(*method) == name) return method;
  }
  return nullptr;
}

// One field below a request: the way to it from the request message.
using FieldWay = std::vector<const FieldDescriptor*>;

// Every field below `type`; a message type is not entered a second time on one way (Struct holds itself).
void WalkFields(const Descriptor& type, FieldWay* way, std::set<const Descriptor*> seen,
                const std::function<void(const FieldWay&)>& visit) {
  if (!seen.insert(&type).second) return;
  for (int i = 0; i < type.field_count(); ++i) {
    way->push_back(type.field(i));
    visit(*way);
    if (type.field(i)->message_type() != nullptr) WalkFields(*type.field(i)->message_type(), way, seen, visit);
    way->pop_back();
  }
}

std::string PathOf(const FieldWay& way, bool indexed) {
  std::string path;
  for (const FieldDescriptor* field : way) {
    absl::StrAppend(&path, path.empty() ? "" : ".", field->name(), indexed && field->is_repeated() ? "[0]" : "");
  }
  return path;
}

// "documents[3].payload.fields[\"k\"].number_value" -> "documents.payload.fields.value.number_value".
std::string WithoutPlaces(const Descriptor& type, const std::string& path) {
  std::string plain;
  const Descriptor* at = &type;
  std::string bare;
  for (size_t i = 0, depth = 0; i < path.size(); ++i) {
    if (path[i] == '[') ++depth;
    if (depth == 0) bare += path[i];
    if (path[i] == ']') --depth;
  }
  for (const absl::string_view part : absl::StrSplit(bare, '.')) {
    const FieldDescriptor* field = at == nullptr ? nullptr : at->FindFieldByName(std::string(part));
    if (field == nullptr && at != nullptr && at->options().map_entry()) {  // A path may leave ".value" out.
      plain += ".value";
      at = at->FindFieldByName("value")->message_type();
      field = at->FindFieldByName(std::string(part));
    }
    absl::StrAppend(&plain, plain.empty() ? "" : ".", part);
    at = field == nullptr ? nullptr : field->message_type();
  }
  return plain;
}

std::string Tag(int number, int wire_type) {
  std::string bytes;
  for (uint32_t tag = static_cast<uint32_t>(number) << 3 | wire_type;; tag >>= 7) {
    if (tag < 0x80) return bytes + static_cast<char>(tag);
    bytes += static_cast<char>(tag | 0x80);
  }
}

// `inner` wrapped into the fields of the way, outermost first. Shorter than 128 bytes.
std::string Wrap(const FieldWay& way, std::string inner) {
  for (auto field = way.rbegin(); field != way.rend(); ++field) {
    inner = Tag((*field)->number(), 2) + static_cast<char>(inner.size()) + inner;
  }
  return inner;
}

class BadInputTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    models_ = new TemporaryDirectory;
    WriteTinyModel(models_->path() / "tiny", {});
    std::filesystem::create_directory_symlink("/", models_->path() / "escape");
    process_ = new TandemdProcess({"--model-import-dir=" + models_->path().string(), "--threads=1"});
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = new std::shared_ptr<grpc::Channel>(
        grpc::CreateCustomChannel(process_->address(), grpc::InsecureChannelCredentials(), arguments));
    MustSend("DatasetService/CreateDataset", {"dataset_id: \"d\""});
    MustSend("DatasetService/CreateDataset", {"dataset_id: \"other\""});
    MustSend("CollectionService/CreateCollection", {"collection_id: \"c\""});
    MustSend("CollectionService/CreateCollection", {"collection_id: \"e\" external { dimensions: 2 }"});
    MustSend("ModelService/ImportModel", {"header { model_id: \"m\" revision_id: \"r\" directory: \"tiny\" }"});
    const std::string used = "request_id: \"used\" ";  // Other content under it is a bad input.
    const std::string pairs = "examples { pair { anchor: \"x\" positives: \"p\" } } ";
    const std::string document = "collection: \"collections/c\" documents { id: \"x\" text: \"x\" } ";
    MustSend("DatasetService/AppendExamples", {"dataset: \"datasets/d\" sequence: 1 " + used + pairs + pairs});
    std::string texts = "dataset: \"datasets/other\" sequence: 1 ";
    for (const char* label : {"a", "a", "a", "b", "b"}) {
      texts += "examples { labelled_text { text: \"t\" label: \"" + std::string(label) + "\" } } ";
    }
    MustSend("DatasetService/AppendExamples", {texts});
    MustSend("CollectionService/ImportDocuments", {"sequence: 1 " + used + document});
    MustSend("CollectionService/UpsertDocuments", {used + document});
  }

  static void TearDownTestSuite() {
    delete channel_;
    EXPECT_EQ(process_->Stop(), 0) << "tandemd drains and ends well after SIGTERM";
    delete process_;
    delete models_;
  }

  static RawReply Send(const std::string& method, const std::vector<std::string>& texts) {
    std::vector<std::string> messages;
    for (const std::string& text : texts) messages.push_back(Serialize(*FindMethod(method)->input_type(), text));
    return SendRaw(*channel_, method, messages);
  }

  static void MustSend(const std::string& method, const std::vector<std::string>& texts) {
    const RawReply reply = Send(method, texts);
    ASSERT_TRUE(reply.status.ok()) << method << ": " << reply.status.error_message();
  }

  static std::string Serialize(const Descriptor& type, const std::string& text) {
    const std::unique_ptr<Message> message(MessageFactory::generated_factory()->GetPrototype(&type)->New());
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
    return message->SerializeAsString();
  }

  static void ExpectAlive() {
    const RawReply reply = SendRaw(*channel_, "AdminService/GetServerInfo", {""});
    ASSERT_TRUE(reply.status.ok()) << reply.status.error_message();
    v1::ServerInfo info;
    ASSERT_TRUE(info.ParseFromString(reply.messages.at(0)));
    EXPECT_FALSE(info.version().empty());
  }

  // The path that the server names: of the call's error, or of the first refused element of a stream's answer.
  static std::string NamedPath(const BadInput& input, const RawReply& reply) {
    if (!reply.status.ok() || reply.messages.empty()) return reply.FieldPath();
    const bool examples = absl::EndsWith(input.method, "AppendExamples");
    v1::AppendExamplesResponse response;  // Its `errors` has the number of ImportDocumentsResponse's.
    if (!response.ParseFromString(reply.messages.back()) || response.errors_size() == 0) return "";
    const v1::ItemError& error = response.errors(0);
    EXPECT_EQ(error.code(), grpc::StatusCode::INVALID_ARGUMENT) << error.message();
    return absl::StrCat(examples ? "examples[" : "documents[", error.index(), "].", error.field());
  }

  static TemporaryDirectory* models_;
  static TandemdProcess* process_;
  static std::shared_ptr<grpc::Channel>* channel_;
};

TemporaryDirectory* BadInputTest::models_;
TandemdProcess* BadInputTest::process_;
std::shared_ptr<grpc::Channel>* BadInputTest::channel_;

TEST_F(BadInputTest, EachIsRefusedWithItsFieldAndTheServerGoesOn) {
  for (const BadInput& input : BadInputs()) {
    SCOPED_TRACE(absl::StrCat(input.method, " ", testing::PrintToString(input.messages).substr(0, 400)));
    const RawReply reply = Send(input.method, input.messages);
    const std::string path = NamedPath(input, reply);
    EXPECT_EQ(path, input.path) << reply.status.error_message();
    if (!reply.status.ok()) {
      EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << reply.status.error_message();
      EXPECT_TRUE(absl::StartsWith(reply.status.error_message(), path)) << reply.status.error_message();
    }
    ExpectAlive();
  }
}

TEST_F(BadInputTest, EveryFieldOfEveryRequestHasABadInput) {
  std::set<std::string> covered;
  for (const BadInput& input : BadInputs()) {
    const MethodDescriptor* method = FindMethod(input.method);
    ASSERT_NE(method, nullptr) << input.method;
    const std::string& path = input.covers.empty() ? input.path : input.covers;
    covered.insert(absl::StrCat(input.method, ":", WithoutPlaces(*method->input_type(), path), "."));
  }
  std::set<std::string> any_value;
  for (const AnyValue& field : AnyValueIsLegal()) any_value.insert(field.field);
  EXPECT_LE(any_value.size(), 30u) << "nearly every field can be wrong in some way";
  int fields = 0;
  for (const MethodDescriptor* method : Methods()) {
    FieldWay way;
    WalkFields(*method->input_type(), &way, {}, [&](const FieldWay& to) {
      ++fields;
      std::string field = absl::StrCat(NameOf(*method), ":", PathOf(to, /*indexed=*/false));
      // One function checks every request to train, wherever it stands.
      absl::string_view trained = field;
      if (absl::ConsumePrefix(&trained, "CollectionService/UpdateCollection:feedback.training.")) {
        field = absl::StrCat("TrainingService/Train:", trained);
      }
      // A message without fields can be wrong only by a field that nobody knows: UnknownFieldsAreRefused.
      const Descriptor* type = to.back()->message_type();
      if (type != nullptr && type->field_count() == 0) return;
      const auto found = covered.lower_bound(field + ".");
      const bool has_case = found != covered.end() && absl::StartsWith(*found, field + ".");
      EXPECT_NE(has_case, any_value.count(field) > 0) << field << " needs a bad input (and no excuse beside it)";
    });
  }
  EXPECT_GT(fields, 200);
}

TEST_F(BadInputTest, StringsThatAreNotUtf8AreNamed) {
  int strings = 0;
  for (const MethodDescriptor* method : Methods()) {
    FieldWay way;
    WalkFields(*method->input_type(), &way, {}, [&](const FieldWay& to) {
      if (to.back()->type() != FieldDescriptor::TYPE_STRING) return;
      ++strings;
      const RawReply reply = SendRaw(*channel_, NameOf(*method), {Wrap(to, "\xC3\x28")});
      EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << NameOf(*method);
      EXPECT_EQ(reply.FieldPath(), PathOf(to, /*indexed=*/true)) << NameOf(*method) << reply.status.error_message();
    });
    ExpectAlive();
  }
  EXPECT_GT(strings, 100);
}

TEST_F(BadInputTest, UnknownFieldsAreRefused) {
  constexpr int kUnknown = 1999;
  for (const MethodDescriptor* method : Methods()) {
    const std::string field = Tag(kUnknown, 0) + '\1';
    const RawReply top = SendRaw(*channel_, NameOf(*method), {field});
    EXPECT_EQ(top.FieldPath(), absl::StrCat("#", kUnknown)) << NameOf(*method) << top.status.error_message();
    FieldWay way;
    WalkFields(*method->input_type(), &way, {}, [&](const FieldWay& to) {
      if (to.back()->message_type() == nullptr || to.back()->is_map()) return;
      const RawReply reply = SendRaw(*channel_, NameOf(*method), {Wrap(to, field)});
      EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << NameOf(*method);
      EXPECT_EQ(reply.FieldPath(), absl::StrCat(PathOf(to, true), ".#", kUnknown)) << NameOf(*method);
    });
    ExpectAlive();
  }
}

TEST_F(BadInputTest, BytesThatAreNoMessageAreRefused) {
  for (const MethodDescriptor* method : Methods()) {
    for (const std::string& bytes :
         {std::string("\xFF\xFF\xFF\xFF"), std::string("\x0A\x7F") + "x", std::string(300, '\0')}) {
      const RawReply reply = SendRaw(*channel_, NameOf(*method), {bytes});
      EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << NameOf(*method);
    }
    ExpectAlive();
  }
}

TEST_F(BadInputTest, AMessageOverTheLimitIsRefused) {
  const RawReply reply = SendRaw(*channel_, "DatasetService/CreateDataset", {std::string((64 << 20) + 1, 'x')});
  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  ExpectAlive();
}

TEST_F(BadInputTest, WhatTheServerLacksSaysSoOnlyAfterTheRequestIsFoundGood) {
  const std::vector<std::pair<std::string, std::string>> calls = {
      {"AdminService/CreateApiKey", "role: READER tenant: \"t\""},
      {"AdminService/ListApiKeys", ""},
      {"AdminService/DeleteApiKey", "name: \"apiKeys/k\""}};
  for (const auto& [method, request] : calls) {
    const RawReply reply = Send(method, {request});
    EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << method;
    EXPECT_THAT(reply.status.error_message(), testing::HasSubstr("this server")) << method;
  }
}

TEST_F(BadInputTest, AnImportThatIsRefusedLeavesNothing) {
  const RawReply reply = Send("ModelService/ImportModel",
                              {"header { model_id: \"broken\" }", "chunk { path: \"config.json\" data: \"{}\" }"});
  EXPECT_FALSE(reply.status.ok());
  const auto models = process_->directory() / "data" / "models" / "default" / "broken";
  EXPECT_TRUE(!std::filesystem::exists(models) || std::filesystem::is_empty(models));
  EXPECT_EQ(Send("ModelService/GetModel", {"name: \"models/broken\""}).status.error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(BadInputTest, AMessageSentAgainIsAnsweredWhereverInAStreamItStands) {
  const std::string head = "dataset: \"datasets/d\" request_id: \"again\" ";
  const std::string first = "sequence: 1 examples { pair { anchor: \"a\" positives: \"p\" } } ";
  const std::string second = "sequence: 2 examples { pair { anchor: \"b\" positives: \"q\" } } ";
  const RawReply whole = Send("DatasetService/AppendExamples", {head + first, second});
  const RawReply again = Send("DatasetService/AppendExamples", {head + second});
  ASSERT_TRUE(again.status.ok()) << again.status.error_message();
  EXPECT_EQ(again.messages.at(0), whole.messages.at(1));
  const std::string in_c = "collection: \"collections/c\" request_id: \"again\" ";
  const std::string a = "sequence: 1 documents { id: \"a\" text: \"t\" } ",
                    b = "sequence: 2 documents { id: \"b\" text: \"t\" } ";
  const RawReply import = Send("CollectionService/ImportDocuments", {in_c + a, b});
  EXPECT_EQ(Send("CollectionService/ImportDocuments", {in_c + b}).messages.at(0), import.messages.at(1));
}

TEST_F(BadInputTest, ASecondServerOnTheSameDirectoryIsRefusedWithTheProcess) {
  std::string output;
  const std::string data = (process_->directory() / "data").string();
  EXPECT_EQ(TandemdProcess::RunAndWait({"--listen=127.0.0.1:0", "--data-dir", data}, {}, &output), 1);
  EXPECT_THAT(output, testing::HasSubstr(absl::StrCat("in use by process ", process_->pid())));
}

TEST(TandemdFlagsTest, ASettingThatDoesNotExistIsNamed) {
  std::string output;
  EXPECT_EQ(TandemdProcess::RunAndWait({}, {"TANDEM_DATA_DRI=/tmp"}, &output), 1);
  EXPECT_THAT(output, testing::HasSubstr("TANDEM_DATA_DRI is no setting of tandemd"));
  EXPECT_EQ(TandemdProcess::RunAndWait({}, {"TANDEM_MAX_QUEUED_CALLS=many"}, &output), 1);
  EXPECT_THAT(output, testing::HasSubstr("TANDEM_MAX_QUEUED_CALLS=many"));
  EXPECT_EQ(TandemdProcess::RunAndWait({"--max-queued-calls=0"}, {"TANDEM_MAX_QUEUED_CALLS=5"}, &output), 1);
  EXPECT_THAT(output, testing::HasSubstr("--max-queued-calls=0: must be in [1, 1000000]"));
}

}  // namespace
}  // namespace tandem::test
