#include <stdint.h>
void app_main(void);
int64_t esp_timer_get_time(void);

int64_t esp_timer_get_time(void)
{
    static int64_t now = 0;
    return now += 7;
}

int main(void)
{
    app_main();
    return 0;
}
