// What an exception says.
#pragma once

#include <gtest/gtest.h>

#include <string>

namespace saferclip {

// The message of the Exception that `call` throws; a failure when it throws none.
template <class Exception, class Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const Exception& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace saferclip
