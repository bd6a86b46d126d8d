#include "server/storage/word_tokenizer.h"

#include <sqlite3.h>

#include <cstdint>
#include <iterator>
#include <memory>
#include <set>
#include <utility>

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr char kName[] = "tandem";
using TokenSink = int (*)(void* context, int flags, const char* token, int size, int start, int end);

struct Inner {  // The tokenizer for words between spaces.
  fts5_tokenizer calls{};
  Fts5Tokenizer* instance = nullptr;
};

// One character of UTF-8; FTS5 hands out texts as they were stored, so bytes that are none stand for themselves.
uint32_t FirstCharacter(std::string_view text, size_t* size) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t length = byte(0) < 0xC0 ? 1 : byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : 4;
  if (length == 1 || length > text.size()) {
    *size = 1;
    return byte(0);
  }
  uint32_t code = byte(0) & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) code = code << 6 | (byte(i) & 0x3F);
  *size = length;
  return code;
}

// Scripts whose words stand without spaces between them.
bool IsUnspaced(uint32_t c) {
  static constexpr std::pair<uint32_t, uint32_t> kRanges[] = {
      {0x0E01, 0x0E4E},   {0x0E81, 0x0ECD},   // Thai, Lao.
      {0x1000, 0x103F},   {0x1100, 0x11FF},   // Myanmar, Hangul Jamo.
      {0x1780, 0x17D3},   {0x3005, 0x3007},   // Khmer, iteration mark and zero of Han.
      {0x3041, 0x3096},   {0x309D, 0x309F},   // Hiragana.
      {0x30A1, 0x30FA},   {0x30FC, 0x30FF},   // Katakana.
      {0x3131, 0x318E},   {0x31F0, 0x31FF},   // Hangul compatibility Jamo, Katakana extensions.
      {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   // Han.
      {0xA960, 0xA97C},   {0xAC00, 0xD7FB},   // Hangul.
      {0xF900, 0xFAFF},   {0xFF66, 0xFFDC},   // Han compatibility, half-width Kana and Hangul.
      {0x1B000, 0x1B16F}, {0x20000, 0x3FFFD}  // Kana supplement, Han extensions.
  };
  if (c < kRanges[0].first) return false;
  for (const auto& [first, last] : kRanges) {
    if (c >= first && c <= last) return true;
  }
  return false;
}

// Full-width ASCII (U+FF01 to U+FF5E) as ASCII.
std::string FoldWidth(std::string_view text) {
  std::string folded;
  folded.reserve(text.size());
  while (!text.empty()) {
    size_t size = 1;
    const uint32_t c = FirstCharacter(text, &size);
    if (c >= 0xFF01 && c <= 0xFF5E) {
      folded.push_back(static_cast<char>(c - 0xFF01 + '!'));
    } else {
      folded.append(text.substr(0, size));
    }
    text.remove_prefix(size);
  }
  return folded;
}

// A run of characters of unspaced scripts. In a document the last one stands alone as well.
int EmitRun(std::string_view run, int base, bool document, void* context, TokenSink sink) {
  size_t at = 0;
  while (at < run.size()) {
    size_t first = 0, second = 0;
    FirstCharacter(run.substr(at), &first);
    const bool last = at + first >= run.size();
    if (last && at > 0 && !document) break;
    if (!last) FirstCharacter(run.substr(at + first), &second);
    const int start = base + static_cast<int>(at), size = static_cast<int>(first + second);
    const int error = sink(context, 0, run.data() + at, size, start, start + size);
    if (error != SQLITE_OK) return error;
    at += first;
  }
  return SQLITE_OK;
}

struct Shifted {  // Hands tokens of a part of a text on as those of the whole.
  void* context;
  TokenSink sink;
  int base;
};

int Tokenize(const Inner& inner, int flags, std::string_view text, void* context, TokenSink sink) {
  size_t at = 0;
  while (at < text.size()) {
    size_t size = 0;
    const bool unspaced = IsUnspaced(FirstCharacter(text.substr(at), &size));
    size_t end = at + size;
    while (end < text.size() && IsUnspaced(FirstCharacter(text.substr(end), &size)) == unspaced) end += size;
    const std::string_view part = text.substr(at, end - at);
    int error = SQLITE_OK;
    if (unspaced) {
      error = EmitRun(part, static_cast<int>(at), (flags & FTS5_TOKENIZE_QUERY) == 0, context, sink);
    } else {
      Shifted shifted{context, sink, static_cast<int>(at)};
      const auto shift = [](void* to, int token_flags, const char* token, int token_size, int start, int stop) {
        const auto* whole = static_cast<Shifted*>(to);
        return whole->sink(whole->context, token_flags, token, token_size, whole->base + start, whole->base + stop);
      };
      error = inner.calls.xTokenize(inner.instance, &shifted, flags, part.data(), static_cast<int>(part.size()), shift);
    }
    if (error != SQLITE_OK) return error;
    at = end;
  }
  return SQLITE_OK;
}

int OpenInner(fts5_api* api, Inner* inner) {
  void* context = nullptr;
  if (const int error = api->xFindTokenizer(api, "porter", &context, &inner->calls); error != SQLITE_OK) return error;
  const char* arguments[] = {"unicode61", "remove_diacritics", "2"};
  return inner->calls.xCreate(context, arguments, std::size(arguments), &inner->instance);
}

int Create(void* api, const char**, int, Fts5Tokenizer** out) {
  auto inner = std::make_unique<Inner>();
  if (const int error = OpenInner(static_cast<fts5_api*>(api), inner.get()); error != SQLITE_OK) return error;
  *out = reinterpret_cast<Fts5Tokenizer*>(inner.release());
  return SQLITE_OK;
}

void Delete(Fts5Tokenizer* instance) {
  const std::unique_ptr<Inner> inner(reinterpret_cast<Inner*>(instance));
  inner->calls.xDelete(inner->instance);
}

int TokenizeFolded(Fts5Tokenizer* instance, void* context, int flags, const char* text, int size, TokenSink sink) {
  // Nobody asks where in the text a word stands, so the offsets of the folded text do.
  const std::string folded = FoldWidth({text, static_cast<size_t>(size)});
  return Tokenize(*reinterpret_cast<const Inner*>(instance), flags, folded, context, sink);
}

absl::Status FtsError(std::string_view what, sqlite3* connection) {
  return absl::InternalError(Concat("FTS5: ", what, ": ", sqlite3_errmsg(connection)));
}

}  // namespace

absl::StatusOr<fts5_api*> Fts5Api(sqlite3* connection) {
  fts5_api* api = nullptr;
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(connection, "SELECT fts5(?1)", -1, &statement, nullptr) == SQLITE_OK) {
    sqlite3_bind_pointer(statement, 1, static_cast<void*>(&api), "fts5_api_ptr", nullptr);
    sqlite3_step(statement);
  }
  sqlite3_finalize(statement);
  if (api == nullptr) return FtsError("this SQLite has none", connection);
  return api;
}

absl::Status RegisterWordTokenizer(sqlite3* connection) {
  ASSIGN_OR_RETURN(fts5_api* const api, Fts5Api(connection));
  fts5_tokenizer calls{.xCreate = Create, .xDelete = Delete, .xTokenize = TokenizeFolded};
  if (api->xCreateTokenizer(api, kName, api, &calls, nullptr) == SQLITE_OK) return absl::OkStatus();
  return FtsError("the tokenizer cannot be registered", connection);
}

absl::StatusOr<std::vector<QueryWord>> WordsOfQuery(sqlite3* connection, std::string_view query, size_t most) {
  ASSIGN_OR_RETURN(fts5_api* const api, Fts5Api(connection));
  Inner inner;
  if (OpenInner(api, &inner) != SQLITE_OK) return FtsError("the tokenizer cannot be made", connection);
  struct Gathered {
    std::string folded;
    size_t most;
    std::vector<QueryWord> words;
    std::set<std::string, std::less<>> seen;
  } gathered{.folded = FoldWidth(query), .most = most};
  const auto gather = [](void* context, int, const char* token, int size, int start, int end) {
    auto* all = static_cast<Gathered*>(context);
    const std::string_view text(token, static_cast<size_t>(size));
    if (!all->seen.emplace(text).second) return SQLITE_OK;
    QueryWord word{.surface = all->folded.substr(static_cast<size_t>(start), static_cast<size_t>(end - start)),
                   .token = std::string(text)};
    size_t first = 0;
    word.prefix = IsUnspaced(FirstCharacter(text, &first)) && first == text.size();
    all->words.push_back(std::move(word));
    return all->words.size() < all->most ? SQLITE_OK : SQLITE_DONE;
  };
  const int result = Tokenize(inner, FTS5_TOKENIZE_QUERY, gathered.folded, &gathered, gather);
  inner.calls.xDelete(inner.instance);
  if (result != SQLITE_OK && result != SQLITE_DONE) return FtsError("a query cannot be tokenized", connection);
  return std::move(gathered.words);
}

}  // namespace tandem
