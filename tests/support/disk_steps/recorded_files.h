#pragma once
// The calls that change files, carried out and recorded when they touch the recorded directory. Like the system calls
// of their names: -1 and errno on failure. Thread-safe.
//
// What cannot be recorded below the directory (links by name, O_TMPFILE, an exchange of names, a hole) is carried out
// and becomes a finding of the log. Not seen at all: writes through mmap and through stdio's own buffers, for which the
// test that compares the replayed log with the directory is there. sync and syncfs are carried out and not recorded:
// to the log what they wrote stays unsynced.

#include <cstdio>

#include <sys/types.h>
#include <sys/uio.h>

namespace tandem::test {

int RecordedOpen(int directory, const char* path, int flags, mode_t mode);
ssize_t RecordedWrite(int fd, const struct iovec* parts, int count);
ssize_t RecordedWriteAt(int fd, const struct iovec* parts, int count, off_t offset);
ssize_t RecordedCopyRange(int from, off_t* from_offset, int to, off_t* to_offset, size_t size, unsigned flags);
ssize_t RecordedSendFile(int to, int from, off_t* offset, size_t size);
int RecordedTruncate(int fd, off_t size);
int RecordedTruncatePath(const char* path, off_t size);
int RecordedAllocate(int fd, int mode, off_t offset, off_t size);
int RecordedSync(int fd, bool data_only);
int RecordedRename(int from_directory, const char* from, int to_directory, const char* to, unsigned flags);
int RecordedLink(int from_directory, const char* from, int to_directory, const char* to, int flags);
int RecordedSymlink(const char* target, int directory, const char* path);
int RecordedRemove(int directory, const char* path, int flags);
int RecordedMakeDirectory(int directory, const char* path, mode_t mode);

// Whether opening `path` for writing is to be recorded.
bool IsRecorded(const char* path);

}  // namespace tandem::test
