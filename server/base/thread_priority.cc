#include "server/base/thread_priority.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tandem {

// Linux keeps a nice value for each thread. Raising it is always allowed, so there is no error to report.
void GiveWay() { ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), 10); }

}  // namespace tandem
