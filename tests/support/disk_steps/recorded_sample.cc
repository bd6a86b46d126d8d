#include "tests/support/disk_steps/recorded_sample.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tandem::test {
namespace {

namespace fs = std::filesystem;

void Check(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::_Exit(1);
}

#define CHECK_CALL(call) Check((call), #call)

void WriteWithDescriptors(const fs::path& directory) {
  const int fd = open((directory / "descriptor").c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  CHECK_CALL(write(fd, "0123456789", 10) == 10);
  CHECK_CALL(pwrite(fd, "ab", 2, 4) == 2);
  iovec parts[] = {{const_cast<char*>("vec"), 3}, {const_cast<char*>("tor"), 3}};
  CHECK_CALL(writev(fd, parts, 2) == 6);
  CHECK_CALL(pwritev(fd, parts, 2, 30) == 6);  // Leaves a hole.
  CHECK_CALL(lseek(fd, 2, SEEK_SET) == 2);
  CHECK_CALL(write(fd, "!", 1) == 1);
  CHECK_CALL(ftruncate(fd, 33) == 0);
  CHECK_CALL(posix_fallocate(fd, 0, 50) == 0);
  CHECK_CALL(fsync(fd) == 0);
  close(fd);
  const int appended = open((directory / "descriptor").c_str(), O_WRONLY | O_APPEND);
  CHECK_CALL(write(appended, "end", 3) == 3);
  CHECK_CALL(fdatasync(appended) == 0);
  close(appended);
  CHECK_CALL(truncate((directory / "descriptor").c_str(), 52) == 0);
}

void WriteWithStreams(const fs::path& directory) {
  std::ofstream(directory / "stream") << "first" << std::string(100000, 'x');
  std::ofstream(directory / "stream", std::ios::app) << "appended";
  std::fstream(directory / "stream", std::ios::in | std::ios::out).seekp(3) << "inside";
  std::ofstream(directory / "replaced") << "long before";
  std::ofstream(directory / "replaced") << "after";
}

void CopyAndMove(const fs::path& directory) {
  fs::copy_file(directory / "stream", directory / "copy");
  const int from = open((directory / "stream").c_str(), O_RDONLY);
  const int to = open((directory / "ranges").c_str(), O_WRONLY | O_CREAT, 0600);
  CHECK_CALL(sendfile(to, from, nullptr, 1000) == 1000);
  CHECK_CALL(copy_file_range(from, nullptr, to, nullptr, 500, 0) == 500);
  off64_t begin = 10, end = 5000;
  CHECK_CALL(copy_file_range(from, &begin, to, &end, 100, 0) == 100);
  close(from);
  close(to);
  fs::create_directories(directory / "a/b/c");
  fs::rename(directory / "copy", directory / "a/b/moved");
  fs::rename(directory / "a/b", directory / "a/renamed");
  fs::create_hard_link(directory / "a/renamed/moved", directory / "linked");
  const int held = open((directory / "replaced").c_str(), O_WRONLY);
  CHECK_CALL(unlink((directory / "replaced").c_str()) == 0);
  CHECK_CALL(write(held, "to a removed file", 17) == 17);
  close(held);
  fs::create_directories(directory / "gone/deep");
  std::ofstream(directory / "gone/deep/file") << "x";
  fs::remove_all(directory / "gone");
  const int root = open(directory.c_str(), O_RDONLY | O_DIRECTORY);
  CHECK_CALL(mkdirat(root, "relative", 0755) == 0);
  const int relative = openat(root, "relative/file", O_WRONLY | O_CREAT, 0644);
  CHECK_CALL(write(relative, "r", 1) == 1);
  close(relative);
  CHECK_CALL(fsync(root) == 0);
  close(root);
}

// Four threads in each of two processes, all on files of their own and on one in common.
void WriteTogether(const fs::path& directory) {
  const pid_t child = fork();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&directory, i, who = child == 0 ? "child" : "parent"] {
      const int common = open((directory / "common").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
      for (int n = 0; n < 50; ++n) {
        const std::string line = std::string(who) + std::to_string(i) + " " + std::to_string(n) + "\n";
        CHECK_CALL(write(common, line.data(), line.size()) == std::ssize(line));
        std::ofstream(directory / (who + std::to_string(i)), std::ios::trunc) << line;
        if (n % 10 == 0) CHECK_CALL(fsync(common) == 0);
      }
      close(common);
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (child == 0) std::_Exit(0);
  int status = 0;
  CHECK_CALL(waitpid(child, &status, 0) == child && status == 0);
}

}  // namespace

int RunRecordedSample(const fs::path& directory) {
  WriteWithDescriptors(directory);
  WriteWithStreams(directory);
  CopyAndMove(directory);
  WriteTogether(directory);
  std::ofstream(directory.parent_path() / "outside") << "not recorded";
  return 0;
}

}  // namespace tandem::test
