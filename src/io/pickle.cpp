// Reads pickles as data. A stack machine like Python's, but globals, the only names of code, pass
// an allowlist and nothing is called. Limits on values and bytes bound the memory, because a short
// stream can build a large structure.
#include "io/pickle.h"

#include <bit>
#include <cstring>
#include <unordered_map>

#include "io/pickle_opcodes.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

using Kind = PickleValue::Kind;
constexpr std::size_t kMaxValues = std::size_t{1} << 21;
constexpr std::size_t kMaxBytes = std::size_t{1} << 26;
using namespace pickle_opcode;

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& where,
         const std::function<bool(const std::string&)>& is_allowed)
      : bytes_(bytes), where_(where), is_allowed_(is_allowed) {
    pickle_.values.emplace_back();
  }

  Pickle read() {
    while (true) {
      opcode_at_ = position_;
      const auto opcode = static_cast<unsigned char>(take(1)[0]);
      if (opcode == kStop) break;
      if (!do_stack(opcode) && !do_literal(opcode) && !do_container(opcode) && !do_object(opcode)) {
        refuse(cat("torch.save does not write opcode ", static_cast<int>(opcode)));
      }
    }
    pickle_.root = pop();
    pickle_.size = position_;
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw WeightsError(
        cat(where_, ": cannot be read as a pickle at byte ", opcode_at_, ": ", what));
  }

  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - position_) refuse("the stream ends here; it is truncated");
    if (position_ + size > kMaxBytes) refuse("the stream is longer than 64 MiB");
    const std::string_view part = bytes_.substr(position_, size);
    position_ += size;
    return part;
  }
  template <class Number>
  Number number() {
    Number value;
    std::memcpy(&value, take(sizeof(Number)).data(), sizeof(Number));
    return value;
  }
  std::string line() {
    const std::size_t end = bytes_.find('\n', position_);
    if (end == std::string_view::npos) refuse("a line without an end");
    const std::string_view text = take(end + 1 - position_);
    return std::string(text.substr(0, text.size() - 1));
  }

  PickleValue& create(Kind kind) {
    if (pickle_.values.size() >= kMaxValues) refuse("more than two million values");
    stack_.push_back(static_cast<PickleId>(pickle_.values.size()));
    PickleValue& value = pickle_.values.emplace_back();
    value.kind = kind;
    return value;
  }
  PickleId pop() {
    if (stack_.empty() || (!marks_.empty() && stack_.size() <= marks_.back())) {
      refuse("the stack is empty");
    }
    const PickleId id = stack_.back();
    stack_.pop_back();
    return id;
  }
  PickleId top() {
    const PickleId id = pop();
    stack_.push_back(id);
    return id;
  }
  std::vector<PickleId> pop_to_mark() {
    if (marks_.empty()) refuse("no mark on the stack");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    marks_.pop_back();
    std::vector<PickleId> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    return items;
  }
  PickleId memory(std::uint64_t index) const {
    const auto found = memo_.find(index);
    if (found == memo_.end()) refuse(cat("nothing is memoized under ", index));
    return found->second;
  }
  void text(std::string_view bytes) { create(Kind::kText).text = std::string(bytes); }
  void integer(std::int64_t value) { create(Kind::kInteger).integer = value; }

  void long_integer(std::uint64_t size) {
    const std::string_view bytes = take(size);
    if (size > 8) {
      create(Kind::kBigInteger).text = std::string(bytes);
      return;
    }
    std::uint64_t value = !bytes.empty() && (bytes.back() & 0x80) != 0 ? ~std::uint64_t{0} : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    integer(static_cast<std::int64_t>(value));
  }

  void big_endian_real() {
    const std::string_view bytes = take(8);
    std::uint64_t bits = 0;
    for (const char byte : bytes) bits = bits << 8 | static_cast<unsigned char>(byte);
    create(Kind::kReal).real = std::bit_cast<double>(bits);
  }

  bool do_stack(unsigned char opcode) {
    switch (opcode) {
      case kProtocol:
        if (number<std::uint8_t>() > 5) refuse("a protocol newer than 5");
        return true;
      case kFrame:
        number<std::uint64_t>();
        return true;
      case kMark:
        marks_.push_back(stack_.size());
        return true;
      case kPop:
        pop();
        return true;
      case kPopMark:
        pop_to_mark();
        return true;
      case kDup:
        stack_.push_back(top());
        return true;
      case kBinGet:
        stack_.push_back(memory(number<std::uint8_t>()));
        return true;
      case kLongBinGet:
        stack_.push_back(memory(number<std::uint32_t>()));
        return true;
      case kBinPut:
        memo_[number<std::uint8_t>()] = top();
        return true;
      case kLongBinPut:
        memo_[number<std::uint32_t>()] = top();
        return true;
      case kMemoize:
        memo_[memo_.size()] = top();
        return true;
      default:
        return false;
    }
  }

  bool do_literal(unsigned char opcode) {
    switch (opcode) {
      case kNone:
        create(Kind::kNone);
        return true;
      case kTrue:
      case kFalse:
        create(Kind::kBool).integer = opcode == kTrue ? 1 : 0;
        return true;
      case kBinInt:
        integer(number<std::int32_t>());
        return true;
      case kBinInt1:
        integer(number<std::uint8_t>());
        return true;
      case kBinInt2:
        integer(number<std::uint16_t>());
        return true;
      case kLong1:
        long_integer(number<std::uint8_t>());
        return true;
      case kLong4:
        long_integer(number<std::uint32_t>());
        return true;
      case kBinFloat:
        big_endian_real();
        return true;
      case kShortBinString:
      case kShortBinUnicode:
      case kShortBinBytes:
        text(take(number<std::uint8_t>()));
        return true;
      case kBinString:
      case kBinUnicode:
      case kBinBytes:
        text(take(number<std::uint32_t>()));
        return true;
      case kBinUnicode8:
      case kBinBytes8:
        text(take(number<std::uint64_t>()));
        return true;
      default:
        return false;
    }
  }

  void tuple_of(std::size_t count) {
    std::vector<PickleId> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    create(Kind::kTuple).items = std::move(items);
  }

  // Adds items to the container on top of the stack, or to the object that a call represents.
  void add_items(const std::vector<PickleId>& items, Kind wanted, std::size_t multiple) {
    if (items.size() % multiple != 0) refuse("a key without a value");
    PickleValue& target = pickle_.values[top()];
    if (target.kind != wanted && target.kind != Kind::kCall) refuse("items for a non-container");
    auto& list = target.kind == Kind::kCall ? target.extra : target.items;
    list.insert(list.end(), items.begin(), items.end());
  }

  bool do_container(unsigned char opcode) {
    switch (opcode) {
      case kEmptyTuple:
      case kEmptySet:
        create(Kind::kTuple);
        return true;
      case kEmptyList:
        create(Kind::kList);
        return true;
      case kEmptyDict:
        create(Kind::kDict);
        return true;
      case kTuple1:
      case kTuple2:
      case kTuple3:
        tuple_of(opcode - kTuple1 + 1u);
        return true;
      case kTuple:
      case kFrozenSet:
      case kList:
      case kDict: {
        std::vector<PickleId> items = pop_to_mark();
        if (opcode == kDict && items.size() % 2 != 0) refuse("a key without a value");
        create(opcode == kList   ? Kind::kList
               : opcode == kDict ? Kind::kDict
                                 : Kind::kTuple)
            .items = std::move(items);
        return true;
      }
      case kAppend:
        add_items({pop()}, Kind::kList, 1);
        return true;
      case kAppends:
        add_items(pop_to_mark(), Kind::kList, 1);
        return true;
      case kAddItems:
        add_items(pop_to_mark(), Kind::kTuple, 1);
        return true;
      case kSetItem: {
        const PickleId value = pop();
        const PickleId key = pop();
        add_items({key, value}, Kind::kDict, 2);
        return true;
      }
      case kSetItems:
        add_items(pop_to_mark(), Kind::kDict, 2);
        return true;
      default:
        return false;
    }
  }

  void global(const std::string& name) {
    if (!is_allowed_(name)) {
      throw WeightsError(
          cat(where_, ": names the Python object \"", name,
              "\", which weights do not need; no code was run. Save the state_dict "
              "alone (torch.save(model.state_dict(), …)) or convert to safetensors"));
    }
    create(Kind::kGlobal).text = name;
  }

  void call() {
    const PickleId arguments = pop();
    const PickleId callee = pop();
    if (pickle_[callee].kind != Kind::kGlobal) refuse("a call of something that is not a global");
    PickleValue& value = create(Kind::kCall);
    value.callee = callee;
    value.items = {arguments};
  }

  bool do_object(unsigned char opcode) {
    switch (opcode) {
      case kGlobal: {
        const std::string module = line();
        global(module + "." + line());
        return true;
      }
      case kStackGlobal: {
        const PickleId name = pop();
        const PickleId module = pop();
        if (pickle_[name].kind != Kind::kText || pickle_[module].kind != Kind::kText) {
          refuse("a global whose name is not text");
        }
        global(pickle_[module].text + "." + pickle_[name].text);
        return true;
      }
      case kReduce:
      case kNewObject:
        call();
        return true;
      case kBuild: {
        const PickleId state = pop();
        if (pickle_[top()].kind != Kind::kCall)
          refuse("a state for something that is not an object");
        pickle_.values[top()].state = state;
        return true;
      }
      case kBinPersistentId: {
        const PickleId id = pop();
        create(Kind::kPersistent).items = {id};
        return true;
      }
      default:
        return false;
    }
  }

  std::string_view bytes_;
  const std::string& where_;
  const std::function<bool(const std::string&)>& is_allowed_;
  Pickle pickle_;
  std::size_t position_ = 0;
  std::size_t opcode_at_ = 0;
  std::vector<PickleId> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, PickleId> memo_;
};

}  // namespace

Pickle read_pickle(std::string_view bytes, const std::string& where,
                   const std::function<bool(const std::string&)>& is_allowed) {
  return Reader(bytes, where, is_allowed).read();
}

}  // namespace saferclip
