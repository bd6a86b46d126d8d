#include "server/rpc/convert.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "server/base/status.h"
#include "server/rpc/validate.h"
#include "tandem/v1/collection.pb.h"
#include "tandem/v1/dataset.pb.h"
#include "tandem/v1/job.pb.h"
#include "tandem/v1/training.pb.h"

namespace tandem {
namespace {

template <class T>
T Parse(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

TEST(ConvertTest, EveryKindOfExampleComesBack) {
  for (const char* text :
       {"pair { anchor: 'a' positives: 'p' positives: 'q' negatives: 'n' }",
        "scored_pair { first: 'a' second: 'b' score: 0.5 }", "labelled_pair { first: 'a' second: 'b' similar: false }",
        "labelled_pair { first: 'a' second: 'b' similar: true }", "labelled_text { text: 'a' label: 'l' }"}) {
    const auto example = Parse<v1::Example>(text);
    EXPECT_TRUE(Validate(example).ok());
    v1::Example again;
    ToProto(FromProto(example), &again);
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(example, again)) << text;
  }
}

TEST(ConvertTest, APayloadComesBackAndHasALimit) {
  auto document = Parse<v1::Document>(
      "id: 'd' text: 't' payload { fields { key: 'k' value { list_value { values { number_value: 1.5 } values { "
      "bool_value: true } values { null_value: NULL_VALUE } values { string_value: '\\303\\244\\000' } } } } }");
  const auto input = FromProto(document);
  ASSERT_TRUE(input.ok());
  v1::Document again;
  ToProto(DocumentVersion{.id = input->id, .text = input->text, .payload_json = input->payload_json}, &again);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(document, again)) << again.DebugString();
  (*document.mutable_payload()->mutable_fields())["big"].set_string_value(std::string(70'000, 'x'));
  EXPECT_EQ(FieldPath(FromProto(document).status()), "payload");
}

TEST(ConvertTest, TrainingOptionsThatAreNotSetKeepTheirDefaults) {
  const TrainerOptions defaults;
  EXPECT_EQ(ToJson(ToTrainerOptions(v1::TrainRequest())), ToJson(defaults));
  const auto request = Parse<v1::TrainRequest>(
      "info_nce { scale: 5 symmetric: true } options { batch_size: 8 max_steps: 7 schedule: COSINE keep: LAST order: "
      "GIVEN }");
  const TrainerOptions options = ToTrainerOptions(request);
  EXPECT_EQ(options.scale, 5);
  EXPECT_TRUE(options.symmetric);
  EXPECT_EQ(options.batch_size, 8);
  EXPECT_EQ(options.max_steps, 7);
  EXPECT_EQ(options.schedule, Schedule::kCosine);
  EXPECT_EQ(options.keep, KeepRevision::kLast);
  EXPECT_EQ(options.order, ExampleOrder::kGiven);
}

TEST(ConvertTest, AHeartbeatRepeatsTheLastSequence) {
  v1::JobEvent event;
  ToProto({{"type", "heartbeat"}}, 41, &event);
  EXPECT_EQ(event.sequence(), 41);
  EXPECT_TRUE(event.has_heartbeat());
}

TEST(ConvertTest, AnEventWithoutFiniteNumbersIsStillAnEvent) {
  v1::JobEvent event;
  ToProto({{"type", "step"}, {"sequence", 3}, {"step", 2}, {"loss", nullptr}}, 0, &event);
  EXPECT_EQ(event.sequence(), 3);
  EXPECT_EQ(event.step().step(), 2);
  EXPECT_EQ(event.step().loss(), 0);
}

TEST(ConvertTest, ARefusedElementComesBackAsItWasStored) {
  v1::ItemError error;
  FromItemErrorJson(ItemErrorJson(4, InvalidField("pair.anchor", "is empty")), &error);
  EXPECT_EQ(error.index(), 4);
  EXPECT_EQ(error.code(), 3);
  EXPECT_EQ(error.field(), "pair.anchor");
  EXPECT_EQ(error.message(), "pair.anchor: is empty");
}

}  // namespace
}  // namespace tandem
