#pragma once
// Every limit of the API in one place; GetServerInfo publishes the ones that clients plan with. The proto comments
// state the same numbers.

#include <cstdint>

#include "absl/time/time.h"
#include "server/base/negative_mining.h"
#include "server/storage/records.h"

namespace tandem {

inline constexpr int64_t kMaxMessageBytes = 64 << 20;  // Of a request message.
inline constexpr int64_t kMaxReplyBytes = 4 << 20;     // Of a unary reply: the default receive limit of gRPC clients.
inline constexpr int64_t kMaxPageBytes = 3 << 20;      // A page ends early rather than reach kMaxReplyBytes.
inline constexpr int kMaxTexts = 1024;                 // Of one Embed or Tokenize request.
inline constexpr int64_t kMaxTextBytes = 1 << 20;
inline constexpr int kMaxTopK = 1000;
inline constexpr int kMaxOffset = 10'000;
inline constexpr int kMaxEfSearch = 10'000;
inline constexpr int kMaxLists = 65'536;
inline constexpr int kMaxRerankFactor = 1000;
inline constexpr int kMaxSearches = 1000;       // Of one BatchSearch.
inline constexpr int kMaxQueryDocuments = 100;  // Of one DocumentsQuery.
inline constexpr int kMaxFields = 64;           // Filterable ones of a collection.
inline constexpr int kMaxFieldNameBytes = 256;
inline constexpr int kMaxKeywordBytes = 1024;
inline constexpr int kMaxAnyOf = 10'000;  // Values of one condition, and ids.
inline constexpr int kMaxConditions = 256;
inline constexpr int kMaxFilterDepth = 8;
inline constexpr int kMaxCandidates = 10'000;  // Of each half of a hybrid search, and of diversity.
inline constexpr int kMaxRankConstant = 10'000;
inline constexpr double kMaxFusionWeight = 1000;
inline constexpr double kLeastTemperature = 0.001;
inline constexpr double kMaxTemperature = 1000;
inline constexpr int kMaxGroupSize = 100;
inline constexpr int kMaxMaskPaths = 100;
inline constexpr int kMaxDimensions = 65'536;
inline constexpr int kMaxDocumentsPerMessage = 10'000;
inline constexpr int kMaxExamplesPerMessage = 10'000;
inline constexpr size_t kMaxExampleBytes = kMostExampleBytes;  // Of its texts.
static_assert(kMaxExampleBytes <= kMaxPageBytes);              // ListExamples has to get past it.
inline constexpr int kMaxPositives = 64;
inline constexpr int kMaxNegatives = kMostNegatives;
inline constexpr int kMaxEvaluationQueries = 100'000;
inline constexpr int kMaxComparedQueries = 10'000;  // Texts, of one CompareReleases.
inline constexpr int kMaxComparedHits = 100;        // Its top_k.
inline constexpr int kMaxJudgements = 1000;         // Of one query.
inline constexpr int kMaxGrade = 100;
inline constexpr int kMaxDocumentIdBytes = 256;
inline constexpr int kMaxPayloadBytes = 64 << 10;  // As JSON.
inline constexpr int kMaxDisplayNameBytes = 256;
inline constexpr int kMaxLabelBytes = 256;
inline constexpr int kMaxAnalysisLength = 131'072;  // Tokens a text.
inline constexpr int kMaxAnalysisBatch = 65'536;    // As TrainingOptions.batch_size.
inline constexpr int kMaxRequestIdBytes = 64;
inline constexpr int kMaxReasonBytes = 1024;
inline constexpr int kMaxPageSize = 1000;
inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageTokenBytes = 1024;
inline constexpr absl::Duration kMaxRollbackWindow = absl::Hours(30 * 24);

inline constexpr int64_t kMaxChunkBytes = 1 << 20;  // Of one FileChunk, in and out.
inline constexpr int64_t kMaxModelBytes = int64_t{64} << 30;
inline constexpr int kMaxModelFiles = 1000;
inline constexpr int kMaxModelPathBytes = 255;

inline constexpr int kMaxStreams = 256;  // Streams open at once, each with a thread of its own.
inline constexpr absl::Duration kStreamIdleLimit =
    absl::Minutes(10);  // A client that sends nothing for so long is cut off.
inline constexpr absl::Duration kDefaultDeadline =
    absl::Hours(1);  // Of a unary call that brings none: no call waits for ever.
inline constexpr absl::Duration kRetryDelay = absl::Seconds(1);  // What a full queue tells clients to wait.

}  // namespace tandem
