from saferclip import main

main()
