# What the counting guests without an operating system share: how they say a number on the serial port, and their words. `print` is
# theirs: where the words lie is not the same.

print_hex:
    mov cx, 8
1:  rol eax, 4
    push eax
    and al, 0x0f
    cmp al, 10
    jb 2f
    add al, 'a' - '0' - 10
2:  add al, '0'
    call print_character
    pop eax
    loop 1b
    ret

print_character:
    push dx
    push ax
    mov dx, COM1 + 5
1:  in al, dx
    test al, 0x20
    jz 1b
    pop ax
    mov dx, COM1
    out dx, al
    pop dx
    ret

text_start:   .asciz "start="
text_count:   .asciz "count="
text_run:     .asciz " run="
text_foreign: .asciz "FOREIGN count="
text_error:   .asciz "DISK ERROR\r\n"
text_newline: .asciz "\r\n"
