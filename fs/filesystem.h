// SPDX-License-Identifier: Apache-2.0
// FileSystem: what each POSIX operation means, on the live map. It knows nothing of FUSE, mounts or
// sockets, so it can be driven, tested and fuzzed directly. Permissions are checked by the kernel
// (default_permissions); everything else is decided here.
// Flow:       fs/fuse → FileSystem → Mutation (batch → journal → overlay) → reply.
// Durability: an operation that returned has its batch in the journal (survives a kill of the
//             process); fsync() makes everything answered so far survive a loss of power.
// Threads:    every method from any thread.
// Owns:       open-file counts; borrows LiveMap, Blocks reader and journal.
// Errors:     kPosix with the errno a program expects; store errors (kNoSpace, kCorrupt, kBroken …)
//             as they come.
// Locks:      names_mu_ → the gate → inode locks → open_mu_. Names are looked up under names_mu_,
// so
//             they cannot change between the look and the locks of the inodes concerned.
// Files:      op_names.cc op_rename.cc birth.{h,cc} op_attr.cc op_data.cc op_copy.cc
//             extent_edit.{h,cc} inode_edit.{h,cc} op_xattr.cc acl.{h,cc} orphans.cc
#pragma once

#include "blockstore/block_store.h"
#include "fs/extent_read.h"
#include "fs/live_map.h"
#include "fs/space.h"
#include "fs/tampering.h"

#include <sys/types.h>

#include <unordered_map>
#include <unordered_set>

namespace amberfs {

struct Attr {
  Ino ino = kNoIno;
  InodeRecord record;
};

// For a new inode. `mode` carries the type; umask is applied here unless a default ACL rules.
struct NewInode {
  std::uint32_t mode = 0;
  std::uint32_t umask = 0;
  std::uint64_t rdev = 0;
};

struct SetAttr {
  std::optional<std::uint32_t> mode;  // permission bits
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::optional<std::uint64_t> size_bytes;
  std::optional<Timestamp> atime;  // UTIME_NOW is resolved to *_now, UTIME_OMIT to nothing
  std::optional<Timestamp> mtime;
  std::optional<Timestamp> ctime;  // the kernel sends it in writeback mode
  bool atime_now = false;
  bool mtime_now = false;
  bool kill_suid_sgid = false;  // the caller may not keep them (FATTR_KILL_SUIDGID)
};

struct WriteFlags {
  bool from_page_cache = false;  // late data of the kernel's writeback cache: keeps suid bits
  bool kill_suid_sgid = false;   // FUSE_WRITE_KILL_SUIDGID
};

enum class RenameFlags : unsigned { kNone = 0, kNoReplace = 1, kExchange = 2 };

enum class Preallocate { kAllocate, kKeepSize, kPunchHole, kZeroRange, kZeroRangeKeepSize };

class FileSystem {
 public:
  FileSystem(LiveMap& live, BlockStore& blocks, Journal& journal);
  // Who says whether there is room for new data. Without one there always is. Once, at first.
  void set_space(Space& space) { space_ = &space; }
  // Who judges and keeps what programs take away from logs. Without one nothing is kept. Once, at
  // first.
  void set_tampering(Tampering& tampering) { tampering_ = &tampering; }
  // How large writes are packed for the journal. Once, at first.
  void set_packing(const Packing& packing) { packing_ = packing; }
  // Called before each change that adds to what is held in memory: returns when there is room for
  // it, or after a time-out. Once, at first.
  void set_hold_back(std::function<void()> hold_back) { hold_back_ = std::move(hold_back); }

  // ---- names (op_names.cc)
  [[nodiscard]] Result<Attr> lookup(Ino directory, ByteView name);
  // mknod, mkdir, create: by the type in `inode.mode`. EEXIST when the name is taken.
  [[nodiscard]] Result<Attr> make(const Origin& who, Ino directory, ByteView name,
                                  const NewInode& inode);
  [[nodiscard]] Result<Attr> symlink(const Origin& who, Ino directory, ByteView name,
                                     ByteView target);
  [[nodiscard]] Result<Attr> link(const Origin& who, Ino ino, Ino directory, ByteView name);
  [[nodiscard]] Status unlink(const Origin& who, Ino directory, ByteView name);
  [[nodiscard]] Status rmdir(const Origin& who, Ino directory, ByteView name);
  struct Name {
    Ino directory = kNoIno;
    ByteView name;
  };
  [[nodiscard]] Status rename(const Origin& who, Name source, Name target, RenameFlags flags);
  [[nodiscard]] Result<Bytes> readlink(Ino ino);

  // ---- attributes (op_attr.cc)
  [[nodiscard]] Result<Attr> getattr(Ino ino);
  [[nodiscard]] Result<Attr> setattr(const Origin& who, Ino ino, const SetAttr& set);

  // ---- data (op_data.cc)
  // Open-file counts (orphans.cc): an unlinked inode lives as an orphan until its last release.
  // open() takes regular files and directories; ESTALE when the inode is gone. release() of what
  // was never opened here (a server that took over a mount) is no error.
  [[nodiscard]] Status open(Ino ino, bool truncate, const Origin& who);
  [[nodiscard]] Status release(Ino ino);
  [[nodiscard]] Result<std::size_t> read(Ino ino, std::uint64_t offset, char* target,
                                         std::size_t size);
  [[nodiscard]] Status write(const Origin& who, Ino ino, std::uint64_t offset, ByteView data,
                             WriteFlags flags);
  [[nodiscard]] Status preallocate(const Origin& who, Ino ino, Preallocate how,
                                   std::uint64_t offset, std::uint64_t size);
  // SEEK_DATA / SEEK_HOLE; ENXIO behind the end.
  [[nodiscard]] Result<std::uint64_t> seek(Ino ino, std::uint64_t offset, bool want_data);
  struct CopyRange {
    Ino source = kNoIno;
    std::uint64_t source_offset = 0;
    Ino target = kNoIno;
    std::uint64_t target_offset = 0;
    std::uint64_t size = 0;
  };
  // Shares extents instead of copying bytes. Returns how many bytes were copied.
  [[nodiscard]] Result<std::uint64_t> copy_range(const Origin& who, const CopyRange& range);
  // Durable: every change answered before. (Per file is not finer: the journal is one.)
  [[nodiscard]] Status sync();

  // ---- extended attributes and ACLs (op_xattr.cc, acl.cc)
  enum class XattrMode { kAny, kCreate, kReplace };
  [[nodiscard]] Status set_xattr(const Origin& who, Ino ino, ByteView name, ByteView value,
                                 XattrMode mode);
  [[nodiscard]] Status remove_xattr(const Origin& who, Ino ino, ByteView name);
  [[nodiscard]] Result<Bytes> get_xattr(Ino ino, ByteView name);  // ENODATA
  [[nodiscard]] Result<std::vector<Bytes>> list_xattrs(Ino ino);

  // ---- the server's own use
  [[nodiscard]] std::shared_ptr<const View> view() const { return live_.view(); }
  [[nodiscard]] DataReader& data() { return data_; }
  [[nodiscard]] std::size_t open_file_count();
  struct OpenFile {
    Ino ino = kNoIno;
    std::uint32_t count = 0;
  };
  [[nodiscard]] std::vector<OpenFile> open_files();
  // Drops what is kept as evidence under this number; nothing when it is no longer there.
  [[nodiscard]] Status drop_evidence(Ino number);
  // Drops every orphan that is not open. At a new mount, when the kernel holds nothing, that is all
  // of them.
  [[nodiscard]] Status drop_orphans();
  // Counts an opening that an earlier server of this mount answered. Before the first request.
  void inherit_open(Ino ino);
  // For changes of names that do not go through this class (restore): held before the Mutation is
  // made.
  [[nodiscard]] Mutex& names_mutex() { return names_mu_; }

 private:
  struct RenameEnds;

  // kNoSpace when the store takes no new data. May wait for a commit: before any lock or Mutation.
  // When nothing can be written any more, that is the answer, and not that the disk is full.
  [[nodiscard]] Status admit(std::uint64_t bytes) {
    if (hold_back_) hold_back_();
    return space_ != nullptr && !journal_.broken() ? space_->admit(bytes) : ok();
  }

  // ---- names
  [[nodiscard]] Result<Attr> add_inode(Mutation& mutation, Ino directory, ByteView name,
                                       const NewInode& inode, ByteView target);
  struct Dropped {
    bool more = false;         // see drop_link
    std::optional<Kept> kept;  // it stays as evidence
  };
  // Takes one name off an inode whose PARENT entry is removed already: puts the record, or makes it
  // an orphan or evidence, or removes all of it. `more`: it is too large for one batch and was
  // marked as being dropped; finish_drop() goes on once the mutation is applied and gone.
  [[nodiscard]] Result<Dropped> drop_link(Mutation& mutation, Ino ino, InodeRecord record,
                                          const Loss& loss);
  void remember(std::optional<Kept> kept) {
    if (kept) tampering_->done(*std::move(kept));
  }
  [[nodiscard]] Result<Ino> move_name(Mutation& mutation, const RenameEnds& ends);
  [[nodiscard]] Ino find_continued(const Origin& who, Name source, Name target);
  [[nodiscard]] Status exchange_names(Mutation& mutation, const RenameEnds& ends);

  // ---- attributes
  // Brings a file that has too many extents for one batch close to a smaller size.
  struct Cut {
    std::uint64_t size_bytes = 0;
    std::uint64_t copied_bytes = 0;  // so many of the file's bytes stand in a generation beside it
  };
  [[nodiscard]] Status shrink_in_steps(const Origin& who, Ino ino, Cut cut);
  [[nodiscard]] Status shrink_step(const Origin& who, Ino ino, Cut cut);
  // Nothing when more had to be cut off than one batch holds.
  [[nodiscard]] Result<std::optional<Attr>> setattr_once(const Origin& who, Ino ino,
                                                         const SetAttr& set,
                                                         std::uint64_t copied_bytes);
  // False when the batch cannot hold all that must be cut off.
  [[nodiscard]] Result<bool> resize(Mutation& mutation, Attr& attr, Cut cut,
                                    std::optional<Kept>& kept);

  // ---- data
  struct WriteData {
    ByteView plain;
    ByteView packed;  // the same for the journal; empty: as it is
  };
  [[nodiscard]] Result<std::size_t> write_piece(const Origin& who, Ino ino, std::uint64_t offset,
                                                const WriteData& data, WriteFlags flags);
  [[nodiscard]] Result<std::uint64_t> clear_piece(const Origin& who, Ino ino, Preallocate how,
                                                  std::uint64_t begin, std::uint64_t end);

  // ---- extended attributes
  [[nodiscard]] Status set_access_acl(Mutation& mutation, Ino ino, ByteView value);
  [[nodiscard]] Status set_default_acl(Mutation& mutation, Ino ino, ByteView value);

  // ---- orphans
  [[nodiscard]] bool is_held(Ino ino);
  void finish_drop(Ino ino);
  [[nodiscard]] Status drop_inode(Ino ino);
  [[nodiscard]] Result<bool> drop_step(Ino ino, Bytes& from);
  [[nodiscard]] Status drop_orphan(Ino ino);
  // An orphan that is evidence stays, and is no orphan any more. True: it was that.
  [[nodiscard]] Result<bool> settle_evidence(Mutation& mutation, Ino ino);

  LiveMap& live_;
  Journal& journal_;
  Space* space_ = nullptr;
  Tampering* tampering_ = nullptr;
  std::function<void()> hold_back_;
  Packing packing_;
  DataReader data_;
  Mutex names_mu_;  // name-changing operations, one at a time; before the gate in the lock order
  Mutex open_mu_;
  std::unordered_map<Ino, std::uint32_t> open_counts_ GUARDED_BY(open_mu_);
  std::unordered_set<Ino> dropping_ GUARDED_BY(open_mu_);  // records are going: never open again
};

}  // namespace amberfs
