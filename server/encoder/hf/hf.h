#pragma once
// The C ABI of the Rust library tandem_hf (src/lib.rs): Hugging Face's `tokenizers` and `safetensors`. Every function
// that can fail returns NULL when it went well, otherwise an error string that the caller frees with
// tandem_hf_free_error; outputs are written only on success. Panics are caught inside. Functions on a const handle may
// be called from many threads. Used by tokenizer.cc and safetensors_file.cc only.

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void tandem_hf_free_error(char* error);

typedef struct tandem_hf_tokenizer tandem_hf_tokenizer;

// ids is freed with tandem_hf_free_ids. token_count is the length before truncation. Both include special tokens.
typedef struct {
  uint32_t* ids;
  size_t size;
  size_t token_count;
} tandem_hf_ids;

// From the bytes of a tokenizer.json; its truncation and padding are dropped.
char* tandem_hf_tokenizer_load(const uint8_t* json, size_t size, tandem_hf_tokenizer** out);
void tandem_hf_tokenizer_free(tandem_hf_tokenizer* tokenizer);
size_t tandem_hf_tokenizer_special_tokens(const tandem_hf_tokenizer* tokenizer);  // Around one text.
char* tandem_hf_tokenizer_max_id(const tandem_hf_tokenizer* tokenizer, uint32_t* out);

// prompt + text -> ids with special tokens, at most max_length of them; what is too much goes from the end, or from the
// start when truncate_start. Fails when prompt or text is not UTF-8 and when max_length has no room for the special
// tokens.
char* tandem_hf_tokenizer_encode(const tandem_hf_tokenizer* tokenizer, const uint8_t* prompt, size_t prompt_size,
                                 const uint8_t* text, size_t text_size, size_t max_length, int truncate_start,
                                 tandem_hf_ids* out);
void tandem_hf_free_ids(tandem_hf_ids ids);

typedef struct tandem_hf_safetensors tandem_hf_safetensors;

// The pointers belong to the header. The tensor's values are `size` bytes from `begin` of the file; shape x dtype =
// size.
typedef struct {
  const char* name;
  const char* dtype;  // "F32", "F16", "BF16", ...
  const size_t* shape;
  size_t rank;
  size_t begin;
  size_t size;
} tandem_hf_tensor;

// Parses and checks a whole file in memory (sizes, offsets, no gaps); tensors are in the order of their names.
char* tandem_hf_safetensors_parse(const uint8_t* file, size_t size, tandem_hf_safetensors** out);
void tandem_hf_safetensors_free(tandem_hf_safetensors* header);
size_t tandem_hf_safetensors_count(const tandem_hf_safetensors* header);
char* tandem_hf_safetensors_at(const tandem_hf_safetensors* header, size_t index, tandem_hf_tensor* out);

typedef struct {
  const char* name;
  size_t name_size;
  const size_t* shape;
  size_t rank;
  const float* values;
} tandem_hf_float_tensor;

char* tandem_hf_safetensors_write(const uint8_t* path, size_t path_size, const tandem_hf_float_tensor* tensors,
                                  size_t count);

#ifdef __cplusplus
}
#endif
